# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of several kinds of ports is the fabric of the GPUs: the second half of rule R4 of docs/nccl.md.

A kind is a link layer and a rate: ranks exchange data over all rails at the pace of the slowest, so one kind is chosen.
"""

from __future__ import annotations

from collections.abc import Collection

from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.distance import NEAR, gpu_distances
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.facts import Node, Port

Kind = tuple[str, float]

ONBOARD_GBPS = 25.0
FABRIC_GBPS = 100.0
"""Mainboards carry ports of 1 to 25 Gbit/s for management. Beside ports of 100 and more they are no fabric of GPUs, however
many there are: github.com/NVIDIA/nccl/issues/1277 has four of 25, one of 200 and four of 400 in one machine."""

FAR_COUNTS = 0.5
"""What a port through the CPU is worth beside one at PIX or PXB: ours, since no source gives one number. It decides only
between kinds of which one is nearer and the other has more ports."""


def kind(port: Port) -> Kind:
    return port.link_layer, port.rate_gbps


def onboard(ports: Collection[Port]) -> list[Port]:
    """The ports that are too slow to be meant, beside others that are not."""
    fast = any(p.rate_gbps >= FABRIC_GBPS for p in ports)
    return [p for p in ports if p.rate_gbps <= ONBOARD_GBPS] if fast else []


def best_kind(node: Node, ports: Collection[Port]) -> Kind | None:
    """The kind that gives the GPUs of this node most bandwidth; None where there are no ports.

    A GPU drives about one port, so more ports than GPUs count as many as there are GPUs; a port that is not near a GPU
    counts half. Of two that give the same the one beside more GPUs, then the faster one, then InfiniBand.
    """
    gpus = len(node.gpus) or max((len(gpu_distances(node, p.hca)) for p in ports), default=0)

    def worth(which: Kind) -> tuple[float, int, float, bool]:
        same = [p for p in ports if kind(p) == which]
        weights = sorted((1.0 if near_gpus(node, [p]) else FAR_COUNTS for p in same), reverse=True)
        total = which[1] * sum(weights[: gpus or None])
        return total, len(near_gpus(node, same)), which[1], which[0] == "InfiniBand"

    return max({kind(p) for p in ports}, key=worth, default=None)


def near_gpus(node: Node, ports: Collection[Port]) -> frozenset[int]:
    """The GPUs with one of ``ports`` at PIX or PXB. In a virtual machine none: its PCI tree is made up."""
    if node.virtual_machine:
        return frozenset()
    return frozenset(i for p in ports for i, far in enumerate(gpu_distances(node, p.hca)) if far in NEAR)


def fills_evenly(node: Node, count: int) -> bool:
    """Whether ``count`` rails serve the GPUs of the node evenly: rails come in numbers that divide, or are divided by, theirs."""
    gpus = len(node.gpus)
    return bool(count) and (not gpus or gpus % count == 0 or count % gpus == 0)
