# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the rails of all nodes fit together: rule R7 of docs/nccl.md.

Rail *i* is the *i*-th port of a node's selection. Everything is compared with rank 0, and reported at the rank that
differs.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import FAIL, INFO, WARN, Finding, finding
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.facts import Node, Port
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.select import Selection, dropped_text
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.version import Version, version_text

Rank = tuple[Node, Selection]


def rail_findings(ranks: Sequence[Rank]) -> list[Finding]:
    """Count, order, rate, link layer, MTU of the rails over all nodes. ``ranks``: node and selection, rank 0 first."""
    if not ranks:
        return []
    head = ranks[0]
    return [f for other in ranks[1:] for f in _compare(head, other)]


def version_findings(ranks: Sequence[tuple[str, Version | None]]) -> list[Finding]:
    """NCCL refuses ranks of different versions (init.cc: "Mismatched NCCL version"). ``ranks``: host and version."""
    known = [(host, version) for host, version in ranks if version]
    return [
        finding(
            FAIL,
            "nccl-version-differs",
            f"{host}.nccl_version",
            f"NCCL {version_text(version)} here, {version_text(known[0][1])} on {known[0][0]}",
            "start every rank from the same image digest",
        )
        for host, version in known[1:]
        if version != known[0][1]
    ]


def _compare(head: Rank, other: Rank) -> Iterator[Finding]:
    (first, here), (node, there) = head, other
    where = f"{node.host}.hcas"
    if len(here.ports) != len(there.ports):
        yield finding(
            FAIL,
            "rail-count-differs",
            where,
            f"{len(there.ports)} RDMA port(s) chosen here, {len(here.ports)} on {first.host}{_why_fewer(here, there)}",
            "bring the missing port up, or leave the same ones out on every node (exclude_hcas)",
        )
        return
    pairs = list(zip(here.ports, there.ports, strict=True))
    for aspect, code in (("link_layer", "rail-link-layer-differs"), ("rate_gbps", "rail-rate-differs")):
        unlike = [(a, b) for a, b in pairs if getattr(a, aspect) != getattr(b, aspect)]
        if unlike:
            shown = ", ".join(f"{b.label} {getattr(b, aspect)} against {getattr(a, aspect)}" for a, b in unlike)
            yield finding(
                FAIL,
                code,
                where,
                f"rails unlike those of {first.host}: {shown}",
                "mixed rails are not one fabric: use nodes of one kind, or check cable, transceiver and switch port",
            )
    yield from _addressing(first, node, pairs)


def _why_fewer(here: Selection, there: Selection) -> str:
    fewer = min(here, there, key=lambda s: len(s.ports))
    return f" ({fewer.host} {dropped_text(fewer)})" if fewer.dropped else ""


def _addressing(first: Node, node: Node, pairs: list[tuple[Port, Port]]) -> Iterator[Finding]:
    nets = [(_subnet(first, a), _subnet(node, b)) for a, b in pairs]
    mine, theirs = [b for _unused, b in nets], [a for a, _unused in nets]
    if None not in (*mine, *theirs) and mine != theirs:
        if set(mine) == set(theirs):
            order = ", ".join(f"{b.label} in {net}" for (_unused, b), net in zip(pairs, mine, strict=True))
            yield finding(
                WARN,
                "rail-order-differs",
                f"{node.host}.hcas",
                f"the rails stand in another order than on {first.host}: {order}",
                "cable or address the ports in the same PCI order on every node, else rails talk across switches",
            )
        elif apart := [
            (a, b)
            for (a, b), (net_a, net_b) in zip(pairs, nets, strict=True)
            if net_a != net_b and set(mine) & set(theirs)
        ]:
            # some rails meet and these do not: github.com/getainode/ainode/pull/89 ended in "Connection timed out"
            shown = ", ".join(
                f"{b.label} in {_subnet(node, b)}, {a.label} on {first.host} in {_subnet(first, a)}" for a, b in apart
            )
            yield finding(
                WARN,
                "rail-subnet-differs",
                f"{node.host}.netdevs",
                f"rails in other subnets than on {first.host}, while others are in the same: {shown}",
                f"address them alike, or put them ({', '.join(b.label for _unused, b in apart)}) into exclude_hcas",
            )
        else:
            yield finding(
                INFO,
                "rail-routed",
                f"{node.host}.netdevs",
                f"rails lie in other subnets than those of {first.host}, so their traffic is routed",
                "see to it that each rail's subnet has a route to its peers through its own device (policy routing)",
            )
    for a, b in pairs:
        mtu, head_mtu = _mtu(node, b), _mtu(first, a)
        if mtu and head_mtu and mtu != head_mtu:
            yield finding(
                WARN,
                "rail-mtu-differs",
                f"{node.host}.netdevs",
                f"{b.label} has MTU {mtu}, its rail on {first.host} {head_mtu}",
                "set one MTU on all rails; RoCE takes the largest RDMA MTU (4096) that fits into it",
            )


def _subnet(node: Node, port: Port) -> str | None:
    """The IP network of a RoCE port; None where it has none (InfiniBand, no address)."""
    if port.link_layer != "Ethernet":
        return None
    names = sorted({name for dev in port.netdevs for name in node.upward(dev)})
    for address in (a for n in names if n in node.netdevs for a in node.netdevs[n].addresses):
        try:
            interface = ipaddress.ip_interface(address)
        except ValueError:
            continue
        if not interface.is_link_local:
            return str(interface.network)
    return None


def _mtu(node: Node, port: Port) -> int:
    """MTU of the port's network device in bytes, 0 where unknown."""
    if port.link_layer != "Ethernet":
        return 0
    return max((node.netdevs[d].mtu for d in port.netdevs if d in node.netdevs), default=0)
