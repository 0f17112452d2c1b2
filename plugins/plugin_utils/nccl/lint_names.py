# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with a list of HCAs or interfaces."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import FAIL, WARN, Finding, finding
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.facts import Node
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.lists import NEVER_BOOTSTRAP, NameList, parse_names
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.select import MAX_HCAS

BARE_NAMES = ("GLOO_SOCKET_IFNAME", "TP_SOCKET_IFNAME")
"""torch reads these as exact names; it knows neither ``=`` nor ``^``.

Source: pytorch.org/docs/stable/distributed.html; gpustack strips the "=" for GLOO (gpustack/worker/backends/vllm.py).
"""

DRIVERS = ("mlx4", "mlx5")
"""Prefixes on purpose, although they end in a digit: all devices of a driver."""


def name_findings(name: str, value: str, node: Node, where: str) -> Iterator[Finding]:
    """Findings on ``name=value`` where it is a list of devices. ``node`` tells which devices exist, if anything."""
    if name == "NCCL_IB_HCA":
        existing = node.hca_names if node.has_rdma_facts else ()
        yield from _list_findings(name, value, existing, where)
        yield from _ports(value, node, where)
    elif name == "NCCL_SOCKET_IFNAME":
        yield from _list_findings(name, value, list(node.netdevs), where)
        yield from _unreachable(value, where)
    elif name in BARE_NAMES:
        yield from _bare(name, value, list(node.netdevs), where)


def _list_findings(name: str, value: str, existing: Collection[str], where: str) -> Iterator[Finding]:
    names = parse_names(value)
    exact = "=" + ",".join(e.lstrip("=^") for e in value.split(",") if e.lstrip("=^"))
    if any(mark in entry for entry in names.names for mark in "=^ \t\"'[]") or not names.entries:
        yield finding(
            FAIL,
            "invalid-list",
            where,
            f"{name}={value}: ^ and = stand once, at the front, and nothing is trimmed; NCCL looks for devices with "
            "these very characters in their names",
            f"write {exact.replace(' ', '')}" if len(exact) > 1 else "name at least one device, or remove it",
        )
        return
    caught = names.caught_by_prefix(existing)
    if caught:
        shown = "; ".join(f"{entry} also takes {', '.join(more)}" for entry, more in caught.items())
        yield finding(FAIL, "prefix-trap", where, f"names are prefixes without '=': {shown}", f"write {exact}")
    elif meant := _looks_exact(names, existing):
        yield finding(
            WARN,
            "prefix-match",
            where,
            f"names are prefixes without '=': {meant} also takes {meant}0 to {meant}9, where they exist",
            f"write {'^' if names.excludes else ''}{exact}",
        )
    if existing and not any(names.matches(n) for n in existing):
        yield finding(
            FAIL,
            "matches-nothing",
            where,
            f"{name}={value} selects none of {', '.join(existing)}"
            + ("; NCCL then falls back to sockets in silence" if name == "NCCL_IB_HCA" else ""),
            "name devices of this node, or leave it to nccl_env",
        )
    elif existing and names.exact and not names.excludes and (absent := set(names.names) - set(existing)):
        yield finding(
            FAIL,
            "no-such-device",
            where,
            f"this node has no {', '.join(sorted(absent))}",
            "device names differ between nodes: leave the list to nccl_env",
        )


def _looks_exact(names: NameList, existing: Collection[str]) -> str:
    """The first entry that seems to mean one device although it is a prefix; "" where all are prefixes on purpose."""
    if names.exact:
        return ""
    numbered = (e for e in names.names if e[-1].isdigit() and e not in DRIVERS)
    return next((e for e in numbered if not existing or e in existing), "")


def _ports(value: str, node: Node, where: str) -> Iterator[Finding]:
    names = parse_names(value)
    if len(names.entries) > MAX_HCAS:
        yield finding(
            FAIL, "hca-limit", where, f"{len(names.entries)} HCAs; NCCL takes {MAX_HCAS}", "name those beside the GPUs"
        )
    ports = {(p.hca.name, p.number) for p in node.ports}
    wrong = [f"{n}:{p}" for n, p in names.entries if p is not None and ports and names.exact and (n, p) not in ports]
    if wrong and not names.excludes:
        yield finding(
            FAIL, "no-such-port", where, f"this node has no port {', '.join(wrong)}", "ports are counted from 1"
        )


def _unreachable(value: str, where: str) -> Iterator[Finding]:
    names = parse_names(value)
    bad = [n for n in names.names if n.startswith(NEVER_BOOTSTRAP)]
    if bad and not names.excludes:
        yield finding(
            FAIL,
            "unreachable-interface",
            where,
            f"{', '.join(bad)}: no other node can be reached through it",
            "name the interface of the rendezvous address",
        )


def _bare(name: str, value: str, existing: Collection[str], where: str) -> Iterator[Finding]:
    names = value.split(",")
    if any(not n or any(mark in n for mark in "=^: ") for n in names):
        yield finding(
            FAIL,
            "invalid-list",
            where,
            f"{name}={value}: torch takes exact interface names, without '=' or '^'",
            f"write {','.join(n.strip(' =^') for n in names if n.strip(' =^')) or 'the interface name'}",
        )
    elif existing and (absent := [n for n in names if n not in existing]):
        yield finding(
            FAIL,
            "no-such-device",
            where,
            f"this node has no interface {', '.join(absent)}",
            "interface names differ between nodes: leave it to nccl_env",
        )
