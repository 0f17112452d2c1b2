# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ports that the inventory gives to one machine: each is one listener's. Pure; private to this collection."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import Finding, failed
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.endpoints import group_port, value
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.roles import default, group_port_offset
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.serving import all_serving, meeting

Variables = Mapping[str, Mapping[str, Any]]
"""Host → its variables with defaults; what is wrong, or known on the node only, is not among them."""
Where = Callable[[str, str, str], str]
"""(host, variable, group) → the variable with the place where it was set."""

FIXED = {
    "monitoring_node_exporter": 9100,
    "monitoring_gpu_exporter": 9400,
    "monitoring_alertmanager_config": 9093,
    "monitoring_probes": 19115,
}
"""The ports of what these variables switch on (roles/monitoring)."""

DATA_PARALLEL = 29550
"""vLLM's default of ``data_parallel_rpc_port``, on the head of copies over several nodes (vllm/config/parallel.py, 0.32.0)."""


@dataclass(frozen=True)
class Listener:
    """One port on one host. variable: that gives it. used: how a message names it."""

    host: str
    variable: str
    group: str
    port: int
    fixed: str = ""


@dataclass(frozen=True)
class Served:
    """A deployment with the hosts of each replica."""

    name: str
    replicas: Sequence[Sequence[str]]


def check(
    served: Sequence[Served], around: Mapping[str, Sequence[str]], variables: Variables, where: Where
) -> list[Finding]:
    """Ports that two listeners of one machine would have, and computed ports that there are not.

    around: group (router, webui, monitoring, gpu_nodes) → its hosts.
    """
    listeners = [
        *_of_deployments(served, variables),
        *_of_routers(served, around.get("router", ()), variables),
        *_of_webui(around.get("webui", ()), variables),
        *_of_monitoring(around, variables),
    ]
    taken: dict[tuple[str, int], Listener] = {}
    findings: dict[tuple[str, str, int], Finding] = {}
    for one in listeners:
        machine = str(variables.get(one.host, {}).get("ansible_host", one.host))
        other = taken.setdefault((machine, one.port), one)
        found = None
        if str(one.port) == str(variables.get(one.host, {}).get("ansible_port", 22)) and not one.fixed:
            found = _failed(one, f"{one.port} is the port of ssh", "write another port", where)
        elif (other.variable, other.group) != (one.variable, one.group):
            found = _twice(*_to_mend(one, other, where), machine, where)
        elif one.port > 65535:
            found = _too_high(one, where)
        if found:
            # once for all machines that the two share
            findings.setdefault((one.variable, one.group, one.port), found)
    return list(findings.values())


def _to_mend(one: Listener, other: Listener, where: Where) -> tuple[Listener, Listener]:
    """The two with that first which somebody wrote, where the other one follows from it or is a default."""
    written = ["(" in where(each.host, each.variable, each.group) for each in (one, other)]
    return (other, one) if written == [False, True] else (one, other)


def _failed(one: Listener, message: str, remedy: str, where: Where) -> Finding:
    there = where(one.host, one.variable, one.group)
    return failed("port-used-twice", there, message, remedy, variable=one.variable, host=one.host)


def _twice(one: Listener, other: Listener, machine: str, where: Where) -> Finding:
    beside = other.fixed or f"{other.variable} of {other.group}"
    message = f"{one.port} on {machine} is also {beside}"
    return _failed(one, message, "give each listener of a machine a port of its own", where)


def _too_high(one: Listener, where: Where) -> Finding:
    offset = group_port_offset()
    named = where(one.host, "engine_rendezvous_port", one.group)
    message = f"the supervisors' port is {offset} above {one.port - offset}, and {one.port} is no port"
    remedy = f"write {65535 - offset} or less, or set engine_group_port"
    return failed("port-out-of-range", named, message, remedy, variable="engine_rendezvous_port")


def _number(variables: Mapping[str, Any], name: str) -> int | None:
    """A whole number; None where it is wrong, which another check reports, or not known here."""
    text = str(variables.get(name, ""))
    return int(text) if text.isdecimal() else None


def _of_deployments(served: Sequence[Served], variables: Variables) -> Iterator[Listener]:
    """Heads serve and are met, with data parallel copies other ranks too; supervisors listen everywhere."""
    for one in served:
        groups = [hosts for hosts in one.replicas if hosts and hosts[0] in variables]
        heads = {hosts[0] for hosts in groups}
        serve = set(all_serving(groups, variables))
        met = {host for hosts in groups for host in meeting(hosts, variables[hosts[0]])}
        for host in (host for hosts in one.replicas for host in hosts):
            own = variables.get(host, {})
            for name, listens in (("engine_port", serve), ("engine_rendezvous_port", met)):
                port = _number(own, name) if host in listens else None
                if port is not None:
                    yield Listener(host, name, one.name, port)
            if host in heads and own.get("engine_name") == "vllm":
                yield from _of_data_parallel(host, one, own)
            group = _number(own, "engine_group_port")
            if group is None and "engine_group_port" not in own and _number(own, "engine_rendezvous_port") is not None:
                group = group_port(own)
            if group is not None:
                yield Listener(host, "engine_group_port", one.name, group)


def _of_data_parallel(host: str, served: Served, own: Mapping[str, Any]) -> Iterator[Listener]:
    """What the other ranks of copies over nodes report to."""
    over_nodes = any(hosts[0] == host and len(hosts) > 1 for hosts in served.replicas if hosts)
    if not over_nodes or (_number(own, "engine_data_parallel_size") or 1) == 1:
        return
    arguments = own.get("engine_args")
    options = {str(name).replace("-", "_"): setting for name, setting in dict(arguments or {}).items()}
    port = _number({"data_parallel_rpc_port": DATA_PARALLEL, **options}, "data_parallel_rpc_port")
    if port is not None:
        yield Listener(host, "engine_args", served.name, port, f"engine_args.data_parallel_rpc_port of {served.name}")


def _of_routers(served: Sequence[Served], hosts: Sequence[str], variables: Variables) -> Iterator[Listener]:
    """A router listens for each deployment that it routes: all, or those that ``router_deployments`` names."""
    for one in served:
        if not one.replicas or not one.replicas[0]:
            continue
        port = _number({"port": value(variables.get(one.replicas[0][0], {}), "router_port")}, "port")
        for host in hosts:
            if port is not None and one.name in (variables.get(host, {}).get("router_deployments") or [one.name]):
                yield Listener(host, "router_port", one.name, port)


def _of_webui(hosts: Sequence[str], variables: Variables) -> Iterator[Listener]:
    for host in hosts:
        own = variables.get(host, {})
        for name in ("webui_port", "webui_tls_port") if own.get("webui_tls") is True else ("webui_port",):
            port = _number(own, name)
            if port is not None:
                yield Listener(host, name, "webui", port)


def _of_monitoring(around: Mapping[str, Sequence[str]], variables: Variables) -> Iterator[Listener]:
    servers = around.get("monitoring", ())
    for host in servers:
        own = variables.get(host, {})
        names = ["monitoring_prometheus_port"] + (["monitoring_grafana_port"] if own.get("monitoring_grafana") else [])
        for name in names:
            port = _number(own, name)
            if port is not None:
                yield Listener(host, name, "monitoring", port)
        for name in ("monitoring_alertmanager_config", "monitoring_probes"):
            if own.get(name):
                yield Listener(host, name, "monitoring", FIXED[name], f"the port that {name} opens")
    nodes = around.get("gpu_nodes", ()) if servers else ()
    for host in dict.fromkeys([*servers, *nodes]):
        own = variables.get(host, {})
        if own.get("monitoring_node_exporter", default("monitoring", "monitoring_node_exporter")) is True:
            yield Listener(
                host, "monitoring_node_exporter", "monitoring", FIXED["monitoring_node_exporter"], "the node exporter's"
            )
        exporter = own.get("monitoring_gpu_exporter", default("monitoring", "monitoring_gpu_exporter"))
        if host in nodes and exporter in ("container", "package"):
            yield Listener(
                host, "monitoring_gpu_exporter", "monitoring", FIXED["monitoring_gpu_exporter"], "the GPU exporter's"
            )
