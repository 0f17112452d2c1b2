# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the facts of every node to the addresses of the rendezvous, or to the findings that prevent it. Pure; private."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import (
    INFO,
    WARN,
    Finding,
    failed,
    finding,
)
from ansible_collections.fullrank.serving.plugins.module_utils.systemd import names

REMOVE = "playbooks/remove.yml -e deployment="


@dataclass(frozen=True)
class Place:
    """A rank's own end of the rendezvous; both empty for a deployment of one rank, which needs no rendezvous."""

    host: str
    rank: int
    interface: str = ""
    address: str = ""


def agree(
    deployment: str, own_units: Sequence[str], network: str, hosts: Sequence[str], facts: Sequence[Mapping[str, Any]]
) -> tuple[list[Place], list[Finding]]:
    """The place of every rank, and all that keeps the deployment from starting.

    hosts: in rank order. facts: what `rank_host_info` returned on each of them, in the same order; a mapping without
    ``candidates`` means that the node did not answer, and its ``msg`` has the reason. own_units: the deployment's own, whose
    ports are no conflict. network: what the user wrote as rendezvous network, empty for none.
    """
    places: list[Place] = []
    findings: list[Finding] = []
    for rank, (host, answer) in enumerate(zip(hosts, facts, strict=True)):
        where = f"{deployment} rank {rank} ({host})"
        if "candidates" not in answer:
            findings.append(_unreachable(where, host, str(answer.get("msg") or "it was not contacted in this run")))
            places.append(Place(host, rank))
            continue
        findings += _in_the_way(where, own_units, answer)
        if len(hosts) == 1:
            places.append(Place(host, rank))
            continue
        candidates = answer["candidates"]
        if len(candidates) == 1:
            places.append(Place(host, rank, candidates[0]["interface"], candidates[0]["address"]))
        else:
            findings.append(_undecided(where, network, answer))
            places.append(Place(host, rank))
    return places, [*findings, *_same_address(deployment, places)]


def planned(
    places: Sequence[Place], declared: Sequence[str], findings: Sequence[Finding], interface: str = ""
) -> tuple[list[Place], list[Finding]]:
    """The same for a plan, which starts nothing: declared addresses where a node did not report its own, and no failure.

    interface: the declared one, "" where there is none.

    That nodes do not answer is worth no more than one note: a plan is often made before the nodes are there.
    """
    alone = len(places) == 1
    silent = [one for one in findings if one["code"] == "rank-unreachable"]
    others = [{**one, "severity": WARN} for one in findings if one["code"] != "rank-unreachable"]
    return (
        [
            place if place.address or alone else replace(place, address=address, interface=place.interface or interface)
            for place, address in zip(places, declared, strict=True)
        ],
        [*([_silent(silent, len(places))] if silent else []), *others],
    )


def _silent(findings: Sequence[Finding], ranks: int) -> Finding:
    """All nodes that did not answer in one line, with the reason of the first."""
    hosts = [str(one["data"]["host"]) for one in findings]
    shown = ", ".join(hosts) if len(hosts) < ranks else "all"
    return finding(
        INFO,
        "rank-unreachable",
        str(findings[0]["where"]).partition(" rank ")[0],
        f"{len(hosts)} of {ranks} nodes did not report ({shown}): {findings[0]['data']['why']}",
        "planned as declared: engine_hardware, engine_model_info",
    )


def _unreachable(where: str, host: str, why: str) -> Finding:
    return failed(
        "rank-unreachable",
        where,
        f"the node does not answer: {why}",
        f"make 'ansible {host} -m ansible.builtin.ping' work and run without --limit, or take {host} out of its group",
        host=host,
        why=why,
    )


def _undecided(where: str, network: str, answer: Mapping[str, Any]) -> Finding:
    if network:
        has = ", ".join(one["address"] for one in answer["candidates"]) or "none"
        return failed(
            "rendezvous-network",
            where,
            f"the node needs exactly one address in engine_rendezvous_network {network} and has {has}",
            "write the network in which every rank has one address",
        )
    if answer["without_route"]:
        return failed(
            "no-route",
            where,
            f"the node has no route to {', '.join(answer['without_route'])}",
            "check addresses and routes, or name the network of the ranks in engine_rendezvous_network",
        )
    addresses = ", ".join(f"{one['interface']} {one['address']}" for one in answer["candidates"])
    return failed(
        "several-rendezvous-interfaces",
        where,
        f"different ranks are reached by different interfaces: {addresses}",
        "name the one network in which every rank has an address in engine_rendezvous_network",
    )


def _in_the_way(where: str, own_units: Sequence[str], answer: Mapping[str, Any]) -> list[Finding]:
    findings = []
    for listener in answer["listeners"]:
        if listener["unit"] in own_units:
            continue
        owner = (
            f"pid {listener['pid']}: {listener['command']}" if listener["pid"] else "a process that could not be seen"
        )
        owner += f" (unit {listener['unit']})" if listener["unit"] else ""
        findings.append(
            failed(
                "port-in-use",
                where,
                f"port {listener['port']} is in use by {owner}",
                _to_free(str(listener["unit"])),
            )
        )
    remedy = "put it there, on every node of the group"
    findings += [failed("missing-file", where, f"{path} does not exist", remedy) for path in answer["missing"]]
    if not answer["serves_here"]:
        findings.append(
            failed(
                "engine-host-elsewhere",
                where,
                "engine_host is no address of this node, so its engine could not listen there; where it is not set, that is "
                "ansible_host, which may be another machine's that passes on",
                "write engine_host: 0.0.0.0, or the node's own address by which its router reaches it",
            )
        )
    if shards := answer["incomplete"]:
        more = f", and {len(shards) - 1} more" if len(shards) > 1 else ""
        message = f"{shards[0]} of its weights is not there or not whole{more}"
        findings.append(failed("incomplete-weights", where, message, "copy the weights to this node again"))
    return findings


def _to_free(unit: str) -> str:
    ports = "choose other ports with engine_port, engine_rendezvous_port and engine_group_port"
    if name := names.deployment_of(unit):
        return (
            f"it belongs to deployment {name}: {ports}, or, where {name} is not in this inventory, run {REMOVE}{name}"
        )
    return f"end that process, or {ports}"


def _same_address(deployment: str, places: Sequence[Place]) -> list[Finding]:
    seen: dict[str, Place] = {}
    findings = []
    for place in places:
        other = seen.setdefault(place.address, place) if place.address else place
        if other is not place:
            findings.append(
                failed(
                    "same-address",
                    f"{deployment} rank {place.rank} ({place.host})",
                    f"it has the address {place.address} of rank {other.rank} ({other.host})",
                    "two ranks cannot be one machine: check ansible_host of both",
                )
            )
    return findings
