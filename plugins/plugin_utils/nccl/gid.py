# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The RoCE GID of one node's ports: rule R8 of docs/nccl.md."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import FAIL, WARN, Finding, finding
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.facts import Port
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.version import GID_AUTOSELECT, Version, version_text


@dataclass
class GidChoice:
    """``index``: what NCCL_IB_GID_INDEX must be, None where it stays unset (``why``). ``family``: of the GIDs."""

    index: int | None = None
    family: str = ""
    why: str = ""
    findings: list[Finding] = field(default_factory=list)


def routable(port: Port, family: str) -> dict[int, str]:
    """GID index → GID of the port's RoCE v2 entries of ``family``. The first v2 entry is mostly link-local: no use."""
    return {g.index: g.gid for g in port.gids if g.type == "RoCE v2" and g.family == family and g.index >= 0}


def common_index(ports: Sequence[Port], family: str) -> int | None:
    """The lowest index that is a routable RoCE v2 GID on every port; None where there is none."""
    common = set.intersection(*(set(routable(p, family)) for p in ports)) if ports else set()
    return min(common, default=None)


def choose_gid(host: str, ports: Sequence[Port], version: Version | None) -> GidChoice:
    """Whether an index must be given for these ports, and which. An unknown NCCL counts as one that selects itself."""
    if not ports:
        return GidChoice(why="no RDMA port is used")
    if any(p.link_layer == "InfiniBand" for p in ports):
        return GidChoice(why="InfiniBand: NCCL ignores the setting (index 0, or 1 where the fabric is routed by FLID)")
    family = next((f for f in ("AF_INET", "AF_INET6") if all(routable(p, f) for p in ports)), "")
    choice = GidChoice(family=family)
    if not family:
        without = [p.label for p in ports if not routable(p, "AF_INET")]
        choice.why = "no index would do: some ports have no routable RoCE v2 GID"
        choice.findings.append(
            finding(
                FAIL,
                "gid-missing",
                f"{host}.hcas",
                f"{', '.join(without)}: no routable RoCE v2 GID of IPv4, nor of IPv6 on all ports",
                _remedy(without, ports),
            )
        )
    elif version is None or version >= GID_AUTOSELECT:
        choice.why = (
            f"NCCL {version_text(version)} selects each device's RoCE v2 GID itself (since 2.21); an index would drift"
        )
    else:
        _common_index(host, ports, version, choice)
    return choice


def _remedy(without: Sequence[str], ports: Sequence[Port]) -> str:
    address = "give the network device of each RoCE port an IP address; its GIDs appear by themselves (show_gids)"
    if len(without) == len(ports):
        return address
    return f"put {', '.join(without)} into exclude_hcas if it carries no GPU traffic; else {address}"


def pinned_index(ports: Sequence[Port], index: int) -> Iterator[tuple[str, str, str, str]]:
    """What a pinned index meets on the RoCE ports that are used: severity, code, message, remedy.

    NCCL takes the entry as it is and ends in "ibv_modify_qp failed" where it is empty (github.com/NVIDIA/nccl/issues/769:
    link-local, "Connection timed out"; issues/890: another index on another device).
    """
    roce = [p for p in ports if p.link_layer == "Ethernet"]
    if not any(p.gids for p in roce):
        return  # the facts do not tell
    entries = {p.label: next((g for g in p.gids if g.index == index), None) for p in roce}
    empty = [label for label, entry in entries.items() if entry is None]
    local = [label for label, entry in entries.items() if entry and not entry.family]
    first = [label for label, entry in entries.items() if entry and entry.family and entry.type == "RoCE v1"]
    if empty:
        text = (
            f"index {index} is pinned, and the GID table of {', '.join(empty)} has no such entry: ibv_modify_qp fails"
        )
        yield FAIL, "gid-pin-absent", text, _pin_remedy(empty, roce)
    if local:
        text = (
            f"index {index} is pinned, and on {', '.join(local)} it is a link-local GID, which leads to no other subnet"
        )
        yield WARN, "gid-pin-local", text, _pin_remedy(local, roce)
    if first:
        text = f"index {index} is pinned, and on {', '.join(first)} it is RoCE v1, which no router forwards"
        yield WARN, "gid-pin-v1", text, "remove it, so that the RoCE v2 entry is taken"


def has_index(ports: Sequence[Port], index: int) -> bool:
    """Whether the GID table of every port has an entry at ``index``."""
    return all(any(g.index == index for g in p.gids) for p in ports)


def _pin_remedy(bad: Sequence[str], ports: Sequence[Port]) -> str:
    """Without the ports that cannot be used, or without the pin; and an address where no entry would do."""
    without = [p.label for p in ports if p.label in bad and not p.is_addressed]
    if not without:
        return "remove it: each port has a RoCE v2 GID of its own"
    if len(without) == len(ports):
        return "give the network device of each RoCE port an IP address, and remove the index"
    return f"put {', '.join(without)} into exclude_hcas, or give its network device an IP address; and remove the index"


def pinned_choice(ports: Sequence[Port], family: str, network: str) -> Iterator[tuple[str, str, str]]:
    """Variable, message and remedy where a pinned family or range leaves a RoCE port without a GID to select."""
    roce = [p for p in ports if p.link_layer == "Ethernet" and p.gids and p.is_addressed]
    name = "NCCL_IB_ADDR_FAMILY"
    if family in ("AF_INET", "AF_INET6") and (none := [p.label for p in roce if not routable(p, family)]):
        yield name, f"{', '.join(none)}: no RoCE v2 GID of {family}", "remove it: the family is derived from the GIDs"
        return
    try:
        wanted = ipaddress.ip_network(network, strict=False) if "/" in network else None
    except ValueError:
        return
    if wanted is None:
        return
    none = [p.label for p in roce if not any(_within(gid, wanted) for gid in routable(p, family or "AF_INET").values())]
    if none:
        yield "NCCL_IB_ADDR_RANGE", f"{', '.join(none)}: no RoCE v2 GID in {network}", "remove it, or widen the range"


def _within(gid: str, network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    address = ipaddress.IPv6Address(gid)
    return (address.ipv4_mapped or address) in network


def _common_index(host: str, ports: Sequence[Port], version: Version, choice: GidChoice) -> None:
    choice.index = common_index(ports, choice.family)
    if choice.index is not None:
        return
    choice.why = "the ports need different indices and NCCL takes one for all"
    shown = ", ".join(f"{p.label}: {'/'.join(map(str, sorted(routable(p, choice.family))))}" for p in ports)
    choice.findings.append(
        finding(
            FAIL,
            "gid-index-differs",
            f"{host}.hcas",
            f"NCCL {version_text(version)} takes one GID index for all HCAs, but the RoCE v2 GID stands at {shown}",
            "use an image with NCCL 2.21 or newer, or make the address lists of the RoCE devices alike and reload them",
        )
    )
