# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the inventory to what one router host routes, or to what is wrong with it. Pure; private to this collection."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import Finding, failed
from ansible_collections.fullrank.serving.plugins.module_utils.router import files
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory import router_keys, router_paths, tasks
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.certificates import certificate
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.endpoints import (
    address,
    group_port,
    machine,
    served_model_name,
    servers,
    switched_on,
    url,
    value,
)
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.serving import all_serving
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.shape import misnamed

HAPROXY, SMG = "haproxy", "smg"
RUNTIMES = {"sglang": "sglang", "vllm": "vllm"}
"""Engine → what smg calls it."""

NUMBERS = {
    "timeout": "router_timeout",
    "max_body_mib": "router_max_body_mib",
    "buffer_kib": "router_buffer_kib",
    "max_connections": "router_max_connections",
    "address_connections": "router_address_connections",
    "address_rate": "router_address_rate",
    "queue": "router_queue",
    "queue_timeout": "router_queue_timeout",
}
"""Part of a route → the variable of the deployment that sets it."""

OWN_VARIABLES = (
    "engine_api_key",
    "engine_api_key_required",
    *tasks.VARIABLES,
    "engine_model",
    "engine_served_model_name",
    "router_cors_origins",
    "router_keys",
    "router_kind",
    "router_metrics_from",
    "router_metrics_host",
    "router_metrics_port",
    "router_paths",
    "router_port",
    "router_resend",
    "router_smg_args",
    "router_smg_port",
    "router_tls",
    "router_tls_certificate",
    "router_tls_key",
    "router_tls_names",
    *NUMBERS.values(),
)
"""Variables of a deployment, or of the router, that are read besides those of its endpoints."""

METRICS_OFFSET, SMG_OFFSET = 20000, 10000
"""What is added to ``router_port`` where a port has no variable of its own."""

_MADE_OF = {"balancer-for-engine": ("engine_name",), "router-tls": ("router_tls_certificate", "router_tls_key")}
"""Code of a finding → the variables that it is made of besides the one that it is about."""

_ORIGIN = re.compile(r"\*|[a-z][a-z0-9+.-]*://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:(?P<port>[1-9][0-9]{0,4}))?")
"""As browsers send it: apps have schemes of their own (``capacitor://localhost``)."""


@dataclass(frozen=True)
class Router:
    """The host that routes. name: in the inventory. listens: the address on which it does. chosen: deployments, empty for all."""

    name: str
    listens: str
    chosen: Sequence[str] = ()


def known_elsewhere(one: Finding) -> bool:
    """Whether another check of the inventory has a finding already: of the shape, of the needs, of the ports."""
    own_port = one["code"] == "port-used-twice" and str(one["where"]).startswith("router_port of")
    return own_port or one["code"] in ("unknown-deployment", "name-of-deployment")


def unfounded(one: Finding, wrong: Collection[str]) -> bool:
    """Whether a finding may come from the default that stands for a variable which has a finding of its own. wrong: those."""
    if one["code"] in ("port-used-twice", "no-port"):
        return any(name.endswith("_port") or name == "ansible_host" for name in wrong)
    read = {*re.findall(r"\w+", one["where"]), *_MADE_OF.get(one["code"], ())}
    if "router_smg_args" in read:
        read.add("router_smg_version")
    return bool(read & set(wrong))


def routes(
    router: Router, deployments: Mapping[str, Sequence[Sequence[str]]], variables: Mapping[str, Mapping[str, Any]]
) -> tuple[list[dict[str, Any]], list[Finding]]:
    """What the module `router` takes, without the command of a balancer, and what is wrong.

    deployments: name → the hosts of each replica. variables: host → its variables, of the router and of all that serve.
    """
    findings = [
        failed(
            "unknown-deployment",
            f"router_deployments of {router.name}",
            f"there is no deployment {name}",
            f"name one of {', '.join(deployments)}",
        )
        for name in router.chosen
        if name not in deployments
    ]
    found = []
    for name, replicas in deployments.items():
        if router.chosen and name not in router.chosen:
            continue
        own = variables[replicas[0][0]]
        if wrong := misnamed(name):
            findings += wrong
            continue
        route, wrong = _route(router, name, own, variables[router.name])
        scheme = "https" if route["tls"] else "http"
        where = url(address(router.name, variables[router.name], router.listens), route["port"], scheme)
        found.append({**route, "url": where, "servers": servers(replicas, variables)})
        findings += [
            *wrong,
            *_without_tls(name, replicas, variables),
            *_out_of_reach(router, name, replicas, variables),
        ]
    return found, [*findings, *_ports(router, found, deployments, variables)]


def _route(
    router: Router, name: str, own: Mapping[str, Any], host: Mapping[str, Any]
) -> tuple[dict[str, Any], list[Finding]]:
    engine = str(own.get("engine_name") or "")
    port = int(value(own, "router_port"))
    named, more = value(own, "router_keys") or {}, list(value(own, "router_paths") or [])
    findings = [
        *router_keys.wrong(named, f"router_keys of {name}", str(own.get("engine_api_key") or "")),
        *_keys_of_nothing(named, own, f"router_keys of {name}"),
        *router_paths.wrong(more, f"router_paths of {name}"),
        *_origins(value(own, "router_cors_origins") or [], f"router_cors_origins of {name}"),
    ]
    balancer, wrong = _balancer(name, engine, own, port)
    findings += wrong
    certificate = (str(value(own, "router_tls_certificate") or ""), str(value(own, "router_tls_key") or ""))
    if bool(certificate[0]) != bool(certificate[1]):
        where = f"router_tls_certificate of {name}"
        findings.append(failed("router-tls", where, "a certificate and its key belong together", "name both, or none"))
    sources, wrong = _sources(value(host, "router_metrics_from") or [], f"router_metrics_from of {router.name}")
    findings += wrong
    route = {
        "name": name,
        "host": router.listens,
        "port": port,
        "model": served_model_name(own),
        "tls": switched_on(value(own, "router_tls")),
        "tls_own": not certificate[0],
        "tls_certificate": certificate[0] or f"{files.CONFIG}/{name}.crt",
        "tls_key": certificate[1] or f"{files.CONFIG}/{name}.key",
        "tls_names": [str(one) for one in value(own, "router_tls_names") or []],
        **{part: int(value(own, variable)) for part, variable in NUMBERS.items()},
        "resend": switched_on(value(own, "router_resend")),
        "origins": [str(one) for one in value(own, "router_cors_origins") or []],
        **router_paths.paths(engine, tasks.of(own), [] if findings else more),
        "key_required": switched_on(value(own, "engine_api_key_required")),
        "teams": [] if findings else router_keys.limits(named),
        "metrics_host": str(value(host, "router_metrics_host")),
        "metrics_port": int(own.get("router_metrics_port") or port + METRICS_OFFSET),
        "metrics_from": sources,
        "balancer": balancer,
    }
    return route, findings


def _balancer(name: str, engine: str, own: Mapping[str, Any], port: int) -> tuple[dict[str, Any], list[Finding]]:
    """smg is taken where it is asked for."""
    if (own.get("router_kind") or HAPROXY) != SMG:
        return {}, []
    if engine not in RUNTIMES:
        message = f"smg does not balance {engine or 'an unknown engine'}"
        return {}, [failed("balancer-for-engine", f"router_kind of {name}", message, f"write {HAPROXY}")]
    return {
        "port": int(own.get("router_smg_port") or port + SMG_OFFSET),
        "runtime": RUNTIMES[engine],
        "args": dict(own.get("router_smg_args") or {}),
    }, []


def _origins(origins: Sequence[Any], where: str) -> list[Finding]:
    return [
        failed("router-origin", where, f"{one!r} is not an origin", "write for example https://chat.example.com, or *")
        for one in origins
        if not (match := _ORIGIN.fullmatch(str(one))) or int(match["port"] or 1) > 65535
    ]


def _keys_of_nothing(named: Any, own: Mapping[str, Any], where: str) -> list[Finding]:
    if not named or switched_on(value(own, "engine_api_key_required")):
        return []
    message = "the router would ask for them, and with engine_api_key_required: false no key is needed"
    return [failed("router-keys", where, message, "take engine_api_key_required out, or the keys")]


def _sources(sources: Sequence[Any], where: str) -> tuple[list[str], list[Finding]]:
    found, findings = [], []
    for one in sources:
        try:
            found.append(str(ipaddress.ip_network(str(one), strict=False)))
        except ValueError:
            message = f"{one!r} is neither an address nor a network"
            findings.append(failed("router-metrics-from", where, message, "write for example 192.0.2.30"))
    return found, findings


def _without_tls(
    name: str, replicas: Sequence[Sequence[str]], variables: Mapping[str, Mapping[str, Any]]
) -> list[Finding]:
    """A router speaks plain HTTP to engines."""
    if not any(certificate(variables[hosts[0]]) for hosts in replicas):
        return []
    message = "the engine serves https, which a router does not speak to it"
    return [
        failed(
            "https-behind-router",
            f"engine_args of {name}",
            message,
            "take ssl_certfile out: TLS ends at the router (router_tls)",
        )
    ]


def _out_of_reach(
    router: Router, name: str, replicas: Sequence[Sequence[str]], variables: Mapping[str, Mapping[str, Any]]
) -> list[Finding]:
    """An engine that listens on the loopback address of another machine."""
    return [
        failed(
            "engine-out-of-reach",
            f"engine_host of {name}",
            f"{host} listens on {value(variables[host], 'engine_host')}, where {router.name} does not reach it",
            "take engine_host out: it then listens where its router is",
        )
        for host in all_serving(replicas, variables)
        if machine(host, variables) != machine(router.name, variables)
        and _loopback(str(value(variables[host], "engine_host")))
    ]


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def ports(route: Mapping[str, Any]) -> dict[str, int]:
    """Variable → port of a route; behind smg's own there are that of its metrics, and one for each replica."""
    found = {"router_port": route["port"], "router_metrics_port": route["metrics_port"]}
    if route["balancer"]:
        first = route["balancer"]["port"]
        found["router_smg_port"] = first
        found |= {f"router_smg_port + {more}": first + more for more in range(1, 2 + len(route["servers"]))}
    return found


def _ports(
    router: Router,
    found: Sequence[Mapping[str, Any]],
    deployments: Mapping[str, Sequence[Sequence[str]]],
    variables: Mapping[str, Mapping[str, Any]],
) -> list[Finding]:
    """Each route needs ports of its own, also beside engines that run on the same machine."""
    taken: dict[int, str] = {}
    for name, replicas in deployments.items():
        for host in all_serving(replicas, variables):
            host_vars = variables[host]
            if machine(host, variables) == machine(router.name, variables):
                taken[int(value(host_vars, "engine_port"))] = f"engine_port of {name}"
                taken[int(value(host_vars, "engine_rendezvous_port"))] = f"engine_rendezvous_port of {name}"
                taken[group_port(host_vars)] = f"engine_group_port of {name}"
    findings = []
    for route in found:
        for variable, port in ports(route).items():
            name = f"{variable} of {route['name']}"
            if not 1 <= port <= 65535:
                findings.append(failed("no-port", name, f"{port} is no port", "set it, from 1 to 65535"))
                continue
            other = taken.setdefault(port, name)
            if other != name:
                message = f"{port} on {router.name} is also {other}"
                findings.append(failed("port-used-twice", name, message, "give each route ports of its own"))
    return findings
