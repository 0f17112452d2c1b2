# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the inventory to what one router host routes, or to what is wrong with it. Pure; private to this collection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import Finding, failed
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.endpoints import (
    address,
    group_port,
    served_model_name,
    servers,
    url,
    value,
)
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.shape import misnamed

NGINX, SMG = "nginx", "smg"
RUNTIMES = {"sglang": "sglang", "vllm": "vllm"}
"""Engine → what smg calls it."""

OWN_VARIABLES = (
    "engine_model",
    "engine_name",
    "engine_served_model_name",
    "router_smg_args",
    "router_smg_port",
    "router_kind",
    "router_max_body_mib",
    "router_port",
    "router_timeout",
)
"""Variables of a deployment that are read besides those of its endpoints."""


@dataclass(frozen=True)
class Router:
    """The host that routes. name: in the inventory. listens: the address on which it does. chosen: deployments, empty for all."""

    name: str
    listens: str
    chosen: Sequence[str] = ()


def routes(
    router: Router, deployments: Mapping[str, Sequence[Sequence[str]]], variables: Mapping[str, Mapping[str, Any]]
) -> tuple[list[dict[str, Any]], list[Finding]]:
    """What the module `router` takes, without the command of a balancer, and what is wrong.

    deployments: name → the hosts of each replica. variables: host → its variables, of the router and of all heads.
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
        route, wrong = _route(router, name, own)
        where = url(address(router.name, variables[router.name], router.listens), route["port"])
        found.append({**route, "url": where, "servers": servers(replicas, variables)})
        findings += wrong
    return found, [*findings, *_ports(router, found, deployments, variables)]


def _route(router: Router, name: str, own: Mapping[str, Any]) -> tuple[dict[str, Any], list[Finding]]:
    engine = str(own.get("engine_name") or "")
    kind = own.get("router_kind") or (SMG if engine == "sglang" else NGINX)
    findings = []
    balancer: dict[str, Any] = {}
    port = int(value(own, "router_port"))
    if kind == SMG and engine not in RUNTIMES:
        where = f"router_kind of {name}"
        message = f"smg does not balance {engine or 'an unknown engine'}"
        findings.append(failed("balancer-for-engine", where, message, f"write {NGINX}"))
    elif kind == SMG:
        balancer = {"port": int(own.get("router_smg_port") or port + 10000), "runtime": RUNTIMES[engine]}
        balancer["args"] = dict(own.get("router_smg_args") or {})
    route = {
        "name": name,
        "host": router.listens,
        "port": port,
        "model": served_model_name(own),
        "timeout": int(value(own, "router_timeout")),
        "max_body_mib": int(value(own, "router_max_body_mib")),
        "balancer": balancer,
    }
    return route, findings


def ports(route: Mapping[str, Any]) -> dict[str, int]:
    """Variable → port of a route; the balancer's metrics are on the port after its own."""
    balancer = route["balancer"]
    return {"router_port": route["port"]} | (
        {"router_smg_port": balancer["port"], "router_smg_port + 1": balancer["port"] + 1} if balancer else {}
    )


def _ports(
    router: Router,
    found: Sequence[Mapping[str, Any]],
    deployments: Mapping[str, Sequence[Sequence[str]]],
    variables: Mapping[str, Mapping[str, Any]],
) -> list[Finding]:
    """Each route needs ports of its own, also beside engines that run on the same machine."""
    taken: dict[int, str] = {}
    machine = variables[router.name].get("ansible_host", router.name)
    for name, replicas in deployments.items():
        for cut in replicas:
            host_vars = variables[cut[0]]
            if host_vars.get("ansible_host", cut[0]) == machine:
                taken[int(value(host_vars, "engine_port"))] = f"engine_port of {name}"
                taken[int(value(host_vars, "engine_rendezvous_port"))] = f"engine_rendezvous_port of {name}"
                taken[group_port(host_vars)] = f"engine_group_port of {name}"
    findings = []
    for route in found:
        for variable, port in ports(route).items():
            name = f"{variable} of {route['name']}"
            other = taken.setdefault(port, name)
            if other != name:
                message = f"{port} on {router.name} is also {other}"
                findings.append(failed("port-used-twice", name, message, "give each route ports of its own"))
    return findings
