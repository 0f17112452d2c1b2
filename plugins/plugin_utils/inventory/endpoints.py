# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where deployments answer: each replica on its head, and all of them behind a router. Pure; private to this collection."""

from __future__ import annotations

import ipaddress
from collections import ChainMap
from collections.abc import Iterable, Mapping, Sequence
from posixpath import basename
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common.host_port import host_port
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory import tasks
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.certificates import certificate
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.roles import default, group_port_offset
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.serving import all_serving
from ansible_collections.fullrank.serving.plugins.plugin_utils.values.served_names import served_names

ROUTERS = "router"
"""The group whose hosts route."""

WATCHERS = "monitoring"
"""The group whose hosts read the metrics of engines."""

EVERYWHERE = ("0.0.0.0", "::")
LOOPBACK = "127.0.0.1"
Variables = Mapping[str, Any]


def value(variables: Variables, name: str) -> Any:
    """A variable of a host, or the default of the role that declares it, ``router_*`` or ``engine_*``."""
    setting = variables.get(name)
    if setting is None and name == "engine_host":
        return EVERYWHERE[0]
    return default("router" if name.startswith("router_") else "deployment", name) if setting is None else setting


def switched_on(setting: Any) -> bool:
    """Whether a variable is true, in the words that Ansible takes for it."""
    return str(setting).strip().lower() in ("true", "yes", "on", "y", "t", "1")


def group_port(variables: Variables) -> int:
    """The port of a rank's supervisor, as the role deployment computes it where it is not set."""
    return int(
        variables.get("engine_group_port") or int(value(variables, "engine_rendezvous_port")) + group_port_offset()
    )


def served_model_name(variables: Variables) -> str:
    """The model's name for clients, the first of several, as the role deployment computes it where it is not set."""
    names = served_names(variables.get("engine_served_model_name"))
    return names[0] if names else basename(str(variables.get("engine_model") or ""))


def url(host: str, port: int, scheme: str = "http") -> str:
    """The address of a server, IPv6 in brackets."""
    return f"{scheme}://{host_port(host, port)}"


def address(host: str, variables: Variables, listens: str) -> str:
    """How others reach what listens there on a host."""
    return str(variables.get("ansible_host") or host) if listens in EVERYWHERE else listens


def machine(host: str, variables: Mapping[str, Variables]) -> str:
    """What a host of the inventory is reached by: two names of one machine have the same."""
    return str(variables[host].get("ansible_host") or host)


def serving_host(host: str, readers: Iterable[str], variables: Mapping[str, Variables]) -> str:
    """The address on which a rank serves where ``engine_host`` is not set, as the role deployment documents it.

    readers: the hosts of its routers and of Prometheus, which must reach it; without a router none, for clients must.
    """
    own = machine(host, variables)
    elsewhere = {machine(one, variables) for one in readers} - {own}
    try:
        return str(ipaddress.ip_address(own)) if elsewhere else LOOPBACK
    except ValueError:  # a name: which of the node's addresses it means, only the node could tell
        return EVERYWHERE[0]


def listening(
    deployment: str,
    replicas: Sequence[Sequence[str]],
    router_hosts: Sequence[str],
    watchers: Sequence[str],
    variables: Mapping[str, Variables],
) -> dict[str, Variables]:
    """The variables, with ``engine_host`` of each host that serves as it is derived where it is not set."""
    found = dict(variables)
    before = routers(deployment, replicas[0][0], router_hosts, variables) if replicas else []
    for host in all_serving(replicas, variables):
        if before and not variables[host].get("engine_host"):
            derived = {"engine_host": serving_host(host, [*before, *watchers], variables)}
            found[host] = ChainMap(derived, variables[host])  # type: ignore[arg-type]  # nothing is written into it
    return found


def servers(replicas: Sequence[Sequence[str]], variables: Mapping[str, Variables]) -> list[dict[str, str]]:
    """What serves of a deployment, mostly its heads: ``name`` (of the host), ``url`` of the engine, ``ready`` of its supervisor.

    variables: host → its variables, as the inventory has them.
    """
    found = []
    for host in all_serving(replicas, variables):
        host_vars = variables[host]
        where = address(host, host_vars, str(value(host_vars, "engine_host")))
        scheme = "https" if certificate(host_vars) else "http"
        found.append(
            {
                "name": host,
                "url": url(where, int(value(host_vars, "engine_port")), scheme),
                "ready": f"{url(where, group_port(host_vars))}/ready",
            }
        )
    return found


def routers(deployment: str, head: str, hosts: Sequence[str], variables: Mapping[str, Variables]) -> list[str]:
    """The hosts that route a deployment: those of the group ``router``, all or those that name it in router_deployments; where
    there is none, ``head``, that of the first replica, with ``engine_router_on_head``.
    """
    found = [host for host in hosts if deployment in (variables[host].get("router_deployments") or [deployment])]
    return found or ([head] if value(variables[head], "engine_router_on_head") else [])


def routers_on_heads(
    deployments: Mapping[str, Sequence[Sequence[str]]], hosts: Sequence[str], variables: Mapping[str, Variables]
) -> dict[str, list[str]]:
    """Head → the deployments that it routes although it is not in the group ``router``.

    deployments: name → the hosts of each replica. hosts: of the group.
    """
    found: dict[str, list[str]] = {}
    for name, replicas in deployments.items():
        if replicas and replicas[0]:
            head = replicas[0][0]
            if head not in hosts and routers(name, head, hosts, variables) == [head]:
                found.setdefault(head, []).append(name)
    return found


def endpoint(
    deployment: str,
    replicas: Sequence[Sequence[str]],
    router_hosts: Sequence[str],
    variables: Mapping[str, Variables],
) -> dict[str, Any]:
    """Where clients find a deployment, as the lookup ``endpoint`` documents it."""
    groups = [[_documented(one, variables) for one in servers([hosts], variables)] for hosts in replicas]
    first = replicas[0][0]
    own = variables[first]
    served = tasks.of(own)
    scheme, port = "https" if switched_on(value(own, "router_tls")) else "http", int(value(own, "router_port"))
    hosts = routers(deployment, first, router_hosts, variables)
    routed = [
        url(address(host, variables[host], str(value(variables[host], "router_host"))), port, scheme) for host in hosts
    ]
    return {
        "url": f"{routed[0]}/v1" if routed else groups[0][0]["url"],
        "task": served.name,
        "task_why": served.why,
        "question": served.question,
        "routers": [f"{one}/v1" for one in routed],
        "router_hosts": hosts,
        "replicas": [{**own[0], "servers": own} for own in groups],
    }


def _documented(one: Mapping[str, str], variables: Mapping[str, Variables]) -> dict[str, str]:
    """What serves, as the lookup ``endpoint`` gives it."""
    own = variables[one["name"]]
    host = str(value(own, "engine_host"))
    return {**one, "url": f"{one['url']}/v1", "host": host, "certificate": certificate(own)}
