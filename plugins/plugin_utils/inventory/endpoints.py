# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where deployments answer: each replica on its head, and all of them behind a router. Pure; private to this collection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from posixpath import basename
from typing import Any

from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.roles import default, group_port_offset

ROUTERS = "router"
"""The group whose hosts route."""

EVERYWHERE = ("0.0.0.0", "::")
Variables = Mapping[str, Any]


def value(variables: Variables, name: str) -> Any:
    """A variable of a host, or the default of the role that declares it, ``router_*`` or ``engine_*``."""
    setting = variables.get(name)
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
    """The model's name for clients, as the role deployment computes it where it is not set."""
    return str(variables.get("engine_served_model_name") or basename(str(variables.get("engine_model") or "")))


def url(host: str, port: int, scheme: str = "http") -> str:
    """The address of a server, IPv6 in brackets."""
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def address(host: str, variables: Variables, listens: str) -> str:
    """How others reach what listens there on a host."""
    return str(variables.get("ansible_host") or host) if listens in EVERYWHERE else listens


def servers(replicas: Sequence[Sequence[str]], variables: Mapping[str, Variables]) -> list[dict[str, str]]:
    """The heads of a deployment: ``name`` (of the host), ``url`` of the engine, ``ready`` of its supervisor.

    variables: host → its variables, as the inventory has them.
    """
    found = []
    for hosts in replicas:
        head = hosts[0]
        host_vars = variables[head]
        where = address(head, host_vars, str(value(host_vars, "engine_host")))
        found.append(
            {
                "name": head,
                "url": url(where, int(value(host_vars, "engine_port"))),
                "ready": f"{url(where, group_port(host_vars))}/ready",
            }
        )
    return found


def routers(deployment: str, hosts: Sequence[str], variables: Mapping[str, Variables]) -> list[str]:
    """Those of the hosts of the group ``router`` that route a deployment: all, or those that name it in router_deployments."""
    return [host for host in hosts if deployment in (variables[host].get("router_deployments") or [deployment])]


def endpoint(
    deployment: str,
    replicas: Sequence[Sequence[str]],
    router_hosts: Sequence[str],
    variables: Mapping[str, Variables],
) -> dict[str, Any]:
    """Where clients find a deployment, as the lookup ``endpoint`` documents it."""
    heads = servers(replicas, variables)
    own = variables[replicas[0][0]]
    scheme, port = "https" if switched_on(value(own, "router_tls")) else "http", int(value(own, "router_port"))
    routed = [
        url(address(host, variables[host], str(value(variables[host], "router_host"))), port, scheme)
        for host in routers(deployment, router_hosts, variables)
    ]
    return {
        "url": f"{(routed or [heads[0]['url']])[0]}/v1",
        "routers": [f"{one}/v1" for one in routed],
        "replicas": [{**one, "url": f"{one['url']}/v1"} for one in heads],
    }
