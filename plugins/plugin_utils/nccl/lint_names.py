# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with a list of HCAs or interfaces.

A remedy that names a value is one that the same rules accept, with the same facts; where no such value is found the remedy
is in words (``env`` in the finding's data: variable to value, or None for its removal).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import FAIL, WARN, Finding, finding
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.facts import Node
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.lists import NameList, parse_names
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.reach import (
    LOOPBACK,
    elsewhere,
    is_local_name,
    leads_nowhere,
)
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.repair import repaired
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.select import MAX_HCAS
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.version import Version, version_text

BARE_NAMES = ("GLOO_SOCKET_IFNAME", "TP_SOCKET_IFNAME")
"""torch reads these as exact names; it knows neither ``=`` nor ``^``.

Source: pytorch.org/docs/stable/distributed.html; gpustack strips the "=" for GLOO (gpustack/worker/backends/vllm.py).
"""

DRIVERS = ("mlx4", "mlx5")
"""Prefixes on purpose, although they end in a digit: all devices of a driver."""

RAIL_FIELDS: Version = (2, 30, 5)
"""From here ``name:port:rail:plane`` is read; before, an empty port field was port 0, which no HCA has.

Source: NVIDIA/nccl src/misc/utils.cc at 2.29.7 and 2.30.7, parseStringList."""

_NAME = re.compile(r"[\w.-]+", re.ASCII)
"""How the kernel names RDMA devices and, apart from few, interfaces."""
_LIKE_RANGE = re.compile(r".*[0-9]-\w*[0-9]", re.ASCII)

NETWORK_LISTS = ("NCCL_IB_HCA", "NCCL_SOCKET_IFNAME")


@dataclass(frozen=True)
class Surroundings:
    """``node`` tells which devices exist, if anything. ``peers``: addresses of the other ranks; None where not known."""

    node: Node
    version: Version | None = None
    peers: Collection[str] | None = None


def name_findings(name: str, value: str, around: Surroundings, where: str) -> Iterator[Finding]:
    """Findings on ``name=value`` where it is a list of devices."""
    if name in NETWORK_LISTS:
        for found in _judge(name, value, around, where):
            yield _with_value(found, name, around)
    elif name in BARE_NAMES:
        yield from _bare(name, value, around.node, where, around.peers)


def _with_value(found: Finding, name: str, around: Surroundings) -> Finding:
    """The finding with its proposed value in the remedy, if the value is accepted; else with the words alone."""
    proposal = found["data"].pop("proposal", None)
    if proposal is None:
        return found
    if proposal and not any(f["severity"] == FAIL for f in _judge(name, proposal, around, "")):
        return {**found, "remedy": f"write {proposal}", "data": {"env": {name: proposal}}}
    return {**found, "data": {"env": {name: None}}}


def _judge(name: str, value: str, around: Surroundings, where: str) -> Iterator[Finding]:
    node = around.node
    rdma = name == "NCCL_IB_HCA"
    existing = (node.hca_names if node.has_rdma_facts else ()) if rdma else tuple(node.netdevs)
    if rdma:
        yield from _list_findings(name, value, existing, where)
        yield from _ports(value, node, where, around.version)
        return
    nowhere = list(_unreachable(value, node, where, around.peers))
    yield from nowhere
    for found in _list_findings(name, value, existing, where):
        if not nowhere or found["code"] == "invalid-list":  # no advice on how to write what leads nowhere
            yield found


def _otherwise(name: str) -> str:
    return (
        "name devices of this node (ls /sys/class/infiniband)"
        if name == "NCCL_IB_HCA"
        else "name an interface of this node"
    )


def _exact(names: NameList, existing: Collection[str]) -> str:
    """The same devices by exact names; those that do not exist are left out where it is known which do."""
    entries = [e for e in names.words if not existing or e.partition(":")[0] in existing]
    return ("^" if names.excludes else "") + "=" + ",".join(entries) if entries else ""


def _list_findings(name: str, value: str, existing: Collection[str], where: str) -> Iterator[Finding]:
    names = parse_names(value)
    odd = [e for e in names.names if not _NAME.fullmatch(e) and e not in existing]
    ranges = [e for e in names.names if _LIKE_RANGE.fullmatch(e) and not any(d.startswith(e) for d in existing)]
    if odd or (ranges and name == "NCCL_IB_HCA") or not names.entries:
        shown = ", ".join(dict.fromkeys([*odd, *ranges])) or "nothing"
        yield finding(
            FAIL,
            "invalid-list",
            where,
            f"{name}={value}: names {shown}. A list is [^][=]name[:port],…: ^ and = once, at the front; no ranges, "
            "wildcards, other separators or blanks",
            _otherwise(name),
            proposal=_known_only(repaired(value), existing),
        )
        return
    caught = names.caught_by_prefix(existing)
    exact = _exact(names, existing)
    if caught:
        shown = "; ".join(f"{entry} also takes {', '.join(more)}" for entry, more in caught.items())
        message = f"names are prefixes without '=': {shown}"
        yield finding(FAIL, "prefix-trap", where, message, _otherwise(name), proposal=exact)
    elif meant := _looks_exact(names, existing):
        yield finding(
            WARN,
            "prefix-match",
            where,
            f"names are prefixes without '=': {meant} also takes {meant}0 to {meant}9, where they exist",
            _otherwise(name),
            proposal=exact,
        )
    if existing and not any(names.matches(n) for n in existing):
        yield finding(
            FAIL,
            "matches-nothing",
            where,
            f"{name}={value} selects none of {', '.join(existing)}"
            + ("; NCCL then falls back to sockets in silence" if name == "NCCL_IB_HCA" else ""),
            "name devices of this node, or leave it to nccl_env",
            env={name: None},
        )
    elif existing and names.exact and not names.excludes and (absent := set(names.names) - set(existing)):
        yield finding(
            FAIL,
            "no-such-device",
            where,
            f"this node has no {', '.join(sorted(absent))}",
            "device names differ between nodes: leave the list to nccl_env",
            env={name: None},
        )


def _known_only(proposal: str, existing: Collection[str]) -> str:
    """A repaired value without names that do not exist; as it is where nothing exists that is known, or prefixes are meant."""
    names = parse_names(proposal)
    return _exact(names, existing) if proposal and existing and names.exact else proposal


def _looks_exact(names: NameList, existing: Collection[str]) -> str:
    """The first entry that seems to mean one device although it is a prefix; "" where all are prefixes on purpose."""
    if names.exact:
        return ""
    numbered = (e for e in names.names if e[-1].isdigit() and e not in DRIVERS)
    return next((e for e in numbered if not existing or e in existing), "")


def _ports(value: str, node: Node, where: str, version: Version | None) -> Iterator[Finding]:
    names = parse_names(value)
    if len(names.entries) > MAX_HCAS:
        yield finding(
            FAIL, "hca-limit", where, f"{len(names.entries)} HCAs; NCCL takes {MAX_HCAS}", "name those beside the GPUs"
        )
    ports = {(p.hca.name, p.number) for p in node.ports}
    known = ports and names.exact
    wrong = [f"{n}:{p}" for n, p in names.entries if p is not None and (p < 1 or (known and (n, p) not in ports))]
    if wrong and not names.excludes:
        yield finding(
            FAIL,
            "no-such-port",
            where,
            f"{', '.join(wrong)}: {'this node has no such port' if known else 'ports are counted from 1'}",
            "ports are counted from 1; without a port all of the HCA are taken",
            proposal=_without_ports(names, node),
        )
    if version and version < RAIL_FIELDS and "::" in value:
        yield finding(
            FAIL,
            "rail-fields",
            where,
            f"NCCL {version_text(version)} reads an empty port as port 0, which no HCA has (rail and plane are read since "
            f"{version_text(RAIL_FIELDS)})",
            "leave rail and plane out",
            proposal=_without_ports(names, node),
        )


def _without_ports(names: NameList, node: Node) -> str:
    existing = node.hca_names if node.has_rdma_facts else ()
    entries = list(dict.fromkeys(n for n in names.names if not existing or n in existing or not names.exact))
    return ("^" if names.excludes else "") + ("=" if names.exact else "") + ",".join(entries) if entries else ""


def _unreachable(value: str, node: Node, where: str, peers: Collection[str] | None) -> Iterator[Finding]:
    names = parse_names(value)
    if names.excludes or not names.entries:
        return
    if addressed := [n for n in names.names if _is_address(value if ":" in value else n)]:
        own = next((d.name for d in node.netdevs.values() if addressed[0] in [str(i.ip) for i in d.interfaces]), "")
        yield finding(
            FAIL,
            "address-as-interface",
            where,
            f"{', '.join(addressed)} is an address; NCCL looks for an interface of this name",
            "name the interface that has it (ip -brief address)",
            proposal=f"={own}" if own else "",
        )
        return
    taken = {entry: [n for n in node.netdevs if _hit(names, entry, n)] for entry in names.names}
    bad = [
        (entry, why)
        for entry, found in taken.items()
        if (why := _no_way(node, entry, found, peers, exact=names.exact)) and (peers is None or peers)
    ]
    if bad:
        shown = "; ".join(f"{entry}: {why}" for entry, why in bad)
        usable = node.interface if node.interface and not leads_nowhere(node, node.interface, peers) else ""
        sure = peers is not None or any(why != LOOPBACK for _unused, why in bad)
        yield finding(
            FAIL if sure else WARN,
            "unreachable-interface",
            where,
            shown + ("" if sure else "; right only where all ranks are on one node"),
            "name the interface of the rendezvous address",
            proposal=f"={usable}" if usable else "",
        )
    away = [n for found in taken.values() for n in found if elsewhere(node, n, peers)]
    if away and not bad:
        networks = ", ".join(f"{n} ({', '.join(map(str, node.netdevs[n].networks))})" for n in away)
        yield finding(
            WARN,
            "interface-elsewhere",
            where,
            f"{networks}: the other ranks are in other networks ({', '.join(peers or ())}), and no default route leads there",
            "name the interface of the rendezvous address, unless a route of its own leads from this one to the others",
            proposal=f"={node.interface}" if node.interface else "",
        )


def _hit(names: NameList, entry: str, device: str) -> bool:
    return device == entry if names.exact else device.startswith(entry)


def _no_way(node: Node, entry: str, found: list[str], peers: Collection[str] | None, *, exact: bool) -> str:
    """Why nothing that ``entry`` takes leads to another node; "" where something does or may."""
    if found:
        reasons = [leads_nowhere(node, n, peers) for n in found]
        return reasons[0] if all(reasons) else ""
    local = is_local_name(entry) or (not exact and is_local_name(f"{entry}0"))
    return leads_nowhere(node, entry if is_local_name(entry) else f"{entry}0", peers) if local else ""


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_interface(text)
    except ValueError:
        return False
    return "." in text or ":" in text


def _bare(name: str, value: str, node: Node, where: str, peers: Collection[str] | None) -> Iterator[Finding]:
    names = value.split(",")
    existing = list(node.netdevs)
    meant = repaired(value).removeprefix("=")
    # "^" has no counterpart: torch takes no names to leave out
    usable = bool(meant) and all(
        _NAME.fullmatch(n) and (not existing or n in existing) and not (peers and leads_nowhere(node, n, peers))
        for n in meant.split(",")
    )
    if any(not n or any(mark in n for mark in "=^: ") for n in names):
        yield finding(
            FAIL,
            "invalid-list",
            where,
            f"{name}={value}: torch takes exact interface names, without '=' or '^'",
            f"write {meant}" if usable else "write the name of the rendezvous interface",
            env={name: meant if usable else None},
        )
    elif existing and (absent := [n for n in names if n not in existing]):
        yield finding(
            FAIL,
            "no-such-device",
            where,
            f"this node has no interface {', '.join(absent)}",
            "interface names differ between nodes: leave it to nccl_env",
            env={name: None},
        )
    elif peers and (away := [n for n in names if leads_nowhere(node, n, peers)]):
        yield finding(
            FAIL,
            "unreachable-interface",
            where,
            f"{away[0]}: {leads_nowhere(node, away[0], peers)}",
            "leave it to nccl_env",
            env={name: None},
        )
