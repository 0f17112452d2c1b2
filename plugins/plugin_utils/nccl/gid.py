# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The RoCE GID of one node's ports: rule R8 of docs/nccl.md."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import FAIL, Finding, finding
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
                "give the network device of each RoCE port an IP address; its GIDs appear by themselves (show_gids)",
            )
        )
    elif version is None or version >= GID_AUTOSELECT:
        choice.why = (
            f"NCCL {version_text(version)} selects each device's RoCE v2 GID itself (since 2.21); an index would drift"
        )
    else:
        _common_index(host, ports, version, choice)
    return choice


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
