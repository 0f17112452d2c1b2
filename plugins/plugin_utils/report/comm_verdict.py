# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the communication check of all ranks shows, and which node, pair or setting is to blame. Pure; private."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.comm_check.nccl_log import SOCKET
from ansible_collections.fullrank.serving.plugins.module_utils.comm_check.worker import WAITING
from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import Finding, failed

Run = Mapping[str, Any]
"""What `comm_check` returned on one node; without ``records`` when the node did not take part."""

# the error of a process that only waited, or whose partner went first; the partner's own error is the cause
_ECHOES = (WAITING, "closed by peer", "reset by peer", "Broken pipe", "closed by remote peer", "SIGTERM")

LOOK = "look at this node and at the one it was exchanging data with: processes, memory, link"


@dataclass(frozen=True)
class Limits:
    """What is good enough. Gbit/s are those of one direction; 0 sets no limit."""

    backend: str = "nccl"
    expect_rdma: bool = False
    min_gbps: float = 0.0
    """For every pair of nodes, and for the bus bandwidth of all ranks together."""
    min_link_share: float = 0.0
    """Share of the link's own rate (the slower one of a pair)."""
    min_pair_share: float = 0.5
    """Share of what other nodes reach; compares from three nodes on."""


@dataclass(frozen=True)
class Pair:
    """Two nodes and what they exchange."""

    ends: tuple[int, int]
    gbps: float
    """Each direction, all processes together."""
    latency_us: float
    slowest_process: int | None = None
    """One that takes more than twice the time of its like on the same nodes: its GPU, HCA or rail."""


@dataclass(frozen=True)
class Measured:
    """The numbers of one check."""

    processes: int
    sizes: tuple[dict[str, float], ...]
    """Per size of all-reduce: bytes, seconds, bus_gbps."""
    pairs: tuple[Pair, ...]
    links: tuple[float, ...]
    """Rate of each node's link in Gbit/s, 0 when unknown."""


def bus_gbps(size: int, seconds: float, ranks: int) -> float:
    """Gbit/s that every rank's link carries in each direction during an all-reduce of ``size`` bytes.

    Source: nccl-tests, doc/PERFORMANCE.md: algorithm bandwidth times 2(n-1)/n.
    """
    return size * 8 / seconds / 1e9 * 2 * (ranks - 1) / ranks


def measured(runs: Sequence[Run]) -> Measured:
    """The numbers in the records of all nodes, in rank order."""
    records = [record for run in runs for record in run.get("records", [])]
    processes = next((one["processes"] for one in records if one["kind"] == "start"), 1)
    ranks = processes * len(runs)
    sizes = tuple(
        {
            "bytes": one["bytes"],
            "seconds": one["seconds"],
            "bus_gbps": round(bus_gbps(one["bytes"], one["seconds"], ranks), 3),
        }
        for one in records
        if one["kind"] == "all_reduce"
    )
    by_ends: dict[tuple[int, int], list[dict[str, Any]]] = {}
    for one in records:
        if one["kind"] == "pair":
            by_ends.setdefault((one["nodes"][0], one["nodes"][1]), []).append(one)
    pairs = tuple(_pair(ends, parts) for ends, parts in sorted(by_ends.items()))
    return Measured(processes, sizes, pairs, tuple(float(run.get("link_gbps") or 0) for run in runs))


def _pair(ends: tuple[int, int], parts: Sequence[Mapping[str, Any]]) -> Pair:
    slowest = max(parts, key=lambda one: one["seconds"] / one["bytes"])
    usual = median(one["seconds"] / one["bytes"] for one in parts)
    odd = slowest["process"] if slowest["seconds"] / slowest["bytes"] > 2 * usual else None
    gbps = sum(one["bytes"] for one in parts) * 8 / max(one["seconds"] for one in parts) / 1e9
    return Pair(ends, round(gbps, 3), round(max(one["latency"] for one in parts) * 1e6, 1), odd)


def judge(deployment: str, hosts: Sequence[str], runs: Sequence[Run], limits: Limits) -> tuple[Measured, list[Finding]]:
    """The numbers, and all that is wrong.

    hosts: in rank order. runs: what `comm_check` returned on each of them, in the same order.
    """
    names = [f"{deployment} rank {rank} ({host})" for rank, host in enumerate(hosts)]
    numbers = measured(runs)
    return numbers, [
        *_broken(deployment, names, runs),
        *_wrong(names, runs),
        *_transport(deployment, names, runs, limits),
        *_slow(deployment, hosts, names, numbers, limits),
    ]


def _broken(deployment: str, names: Sequence[str], runs: Sequence[Run]) -> list[Finding]:
    """Nodes on which the check did not end; where some report the reason, those that only lost a partner are left out."""
    causes: list[Finding] = []
    echoes: list[Finding] = []
    for name, run in zip(names, runs, strict=True):
        if "records" not in run:
            why = str(run.get("msg") or "it was not contacted in this run")
            remedy = "make it run on every host of the group, without --limit"
            causes.append(failed("not-taken-part", name, f"the check did not run here: {why}", remedy))
            continue
        if run["exit_status"] == 0:
            continue
        errors = [one for one in run["records"] if one["kind"] == "error"]
        reported = [failed("communication-failed", name, f"{one['at']}: {one['text']}", LOOK) for one in errors]
        for one in reported or [_ended(name, run)]:
            (echoes if any(word in one["message"] for word in _ECHOES) else causes).append(one)
    found = causes or echoes
    if not found and not measured(runs).sizes:
        found = [
            failed("nothing-measured", deployment, "no rank measured anything", "run the check by hand, see its page")
        ]
    return found


def _ended(name: str, run: Run) -> Finding:
    """A node whose processes did not report what went wrong."""
    telling = [line for line in run["log"] if "Error" in line or "received by PID" in line]
    last = (telling or run["log"] or ["(nothing)"])[-1].strip()
    if not any(one["kind"] == "start" for one in run["records"]):
        message = f"the rank did not meet the others within {run['seconds']:.0f} s; it last wrote: {last}"
        remedy = "open comm_check_port on the head to this node, and all ports between the nodes"
        return failed("not-met", name, message, remedy)
    if run["timed_out"]:
        message = f"not done after {run['seconds']:.0f} s; it last wrote: {last}"
        return failed(
            "timed-out", name, message, "a group that is healthy but large or slow needs more comm_check_timeout"
        )
    return failed("communication-failed", name, f"exit status {run['exit_status']}: {last}", LOOK)


def _wrong(names: Sequence[str], runs: Sequence[Run]) -> list[Finding]:
    return [
        failed(
            "wrong-data",
            name,
            f"{one['at']}: {one['count']} elements are not what they should be",
            "do not serve from this node: check its memory (ECC errors), its GPU and its HCA firmware",
        )
        for name, run in zip(names, runs, strict=True)
        for one in run.get("records", [])
        if one["kind"] == "wrong"
    ]


def _transport(deployment: str, names: Sequence[str], runs: Sequence[Run], limits: Limits) -> list[Finding]:
    """RDMA was expected: did the traffic go over it?"""
    if not limits.expect_rdma or len(runs) < 2:
        return []
    if limits.backend != "nccl":
        message = f"RDMA is expected, and {limits.backend} cannot show it"
        return [
            failed(
                "rdma-not-checked", deployment, message, "comm_check_backend: nccl, or comm_check_expect_rdma: false"
            )
        ]
    findings = []
    for name, run in zip(names, runs, strict=True):
        networks = run.get("networks", {"used": {}, "why": []})
        why = f" ({'; '.join(networks['why'])})" if networks["why"] else ""
        if SOCKET in networks["used"]:
            remedy = (
                "check that HCAs are active (ibv_devinfo) and that NCCL_IB_HCA names them and NCCL_IB_DISABLE is unset; "
                "set comm_check_expect_rdma: false if sockets are meant"
            )
            findings.append(
                failed("sockets-instead-of-rdma", name, f"NCCL sends over TCP sockets, not RDMA{why}", remedy)
            )
        elif not networks["used"] and run.get("exit_status") == 0:
            message = "NCCL's log does not name the network that it uses"
            findings.append(failed("network-unknown", name, message, "take NCCL_DEBUG out of engine_env"))
        elif networks["why"] and run.get("exit_status"):
            message = f"no RDMA{why}"
            findings.append(failed("no-rdma", name, message, "make the HCAs active and visible to the engine"))
    return findings


def _slow(
    deployment: str, hosts: Sequence[str], names: Sequence[str], numbers: Measured, limits: Limits
) -> list[Finding]:
    slow = {pair: why for pair in numbers.pairs if (why := _too_slow(pair, numbers, len(hosts), limits))}
    shown = {pair: _shown(pair, hosts) for pair in slow}
    to_blame = _slow_nodes(len(hosts), numbers.pairs, list(slow))
    findings = []
    for node in to_blame:
        mine = [pair for pair in slow if node in pair.ends]
        remedy = (
            f"compare {hosts[node]} with the others: cable and port (ethtool, ibstat), rate, errors (ip -s link), MTU"
        )
        message = f"the node is slow: {'; '.join(shown[pair] for pair in mine)}; {slow[mine[0]]}"
        findings.append(failed("slow-node", names[node], message, remedy))
    rest = [pair for pair in slow if not set(pair.ends) & set(to_blame)]
    if len(rest) == len(numbers.pairs) > 1:
        message = f"every pair of nodes is slow: {'; '.join(shown[pair] for pair in rest)}; {slow[rest[0]]}"
        remedy = "look at what they share: the switch, the MTU, the interface that was chosen, the limit itself"
        return [*findings, failed("slow-network", deployment, message, remedy)]
    for pair in rest:
        first, second = (hosts[end] for end in pair.ends)
        remedy = f"look at {first}, {second} and what lies between them: cable, switch port, route"
        where = f"{deployment} ranks {pair.ends[0]} and {pair.ends[1]}"
        findings.append(failed("slow-pair", where, f"{shown[pair]}; {slow[pair]}", remedy))
    if not slow and numbers.sizes and 0 < numbers.sizes[-1]["bus_gbps"] < limits.min_gbps:
        message = (
            f"all ranks together reach {numbers.sizes[-1]['bus_gbps']:.3g} Gbit/s, less than {limits.min_gbps:g}, "
            "though every pair alone is fast enough"
        )
        remedy = "look for oversubscribed uplinks between switches, or for congestion control that is off"
        findings.append(failed("slow-together", deployment, message, remedy))
    return findings


def _too_slow(pair: Pair, numbers: Measured, nodes: int, limits: Limits) -> str:
    """Which limit the pair misses, as words; empty when none."""
    link = min(numbers.links[end] for end in pair.ends)
    usual = _usual(nodes, numbers.pairs)
    if pair.gbps < limits.min_gbps:
        return f"at least {limits.min_gbps:g} Gbit/s are required"
    if pair.gbps < limits.min_link_share * link:
        return f"at least {limits.min_link_share:g} of the link's {link:g} Gbit/s are required"
    if nodes > 2 and pair.gbps < limits.min_pair_share * usual:
        return f"the nodes usually reach {usual:.3g} Gbit/s, and {limits.min_pair_share:g} of it is required"
    return ""


def _usual(nodes: int, pairs: Sequence[Pair]) -> float:
    """What a node of this group can do: the median of every node's best pair.

    Of three nodes, one slow one makes two of three pairs slow: the median of the pairs would be the slow node's.
    """
    best = [max((pair.gbps for pair in pairs if node in pair.ends), default=0.0) for node in range(nodes)]
    return median(best) if best else 0.0


def _slow_nodes(nodes: int, pairs: Sequence[Pair], slow: Sequence[Pair]) -> list[int]:
    """Nodes all of whose pairs are slow, as long as others show that it can be done."""
    if len(slow) == len(pairs) or nodes < 3:
        return []
    return [node for node in range(nodes) if all(pair in slow for pair in pairs if node in pair.ends)]


def _shown(pair: Pair, hosts: Sequence[str]) -> str:
    rail = f" (process {pair.slowest_process} of each node is the slowest)" if pair.slowest_process is not None else ""
    return f"{hosts[pair.ends[0]]} - {hosts[pair.ends[1]]} {pair.gbps:.3g} Gbit/s{rail}"


def as_data(hosts: Sequence[str], numbers: Measured, findings: Sequence[Finding], limits: Limits) -> dict[str, Any]:
    """For programs."""
    return {
        "passed": not findings,
        "backend": limits.backend,
        "nodes": list(hosts),
        "processes": numbers.processes,
        "all_reduce": list(numbers.sizes),
        "pairs": [
            {"nodes": [hosts[end] for end in pair.ends], "gbps": pair.gbps, "latency_us": pair.latency_us}
            for pair in numbers.pairs
        ],
        "link_gbps": dict(zip(hosts, numbers.links, strict=True)),
        "findings": list(findings),
    }
