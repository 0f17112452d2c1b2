# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a NIC is from a GPU, in the words of ``nvidia-smi topo -m``.

PIX: at most one PCIe switch between them. PXB: several switches, no host bridge. PHB: through the CPU's host bridge.
NODE: through the interconnect of host bridges inside one NUMA node. SYS: across NUMA nodes.
Source: the legend ``nvidia-smi topo -m`` prints.
"""

from __future__ import annotations

from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.facts import Hca, Node

NEAR = frozenset({"PIX", "PXB"})
"""GPUDirect RDMA at full speed: the data does not touch the CPU."""
FAR = frozenset({"NODE", "SYS"})
ORDER = ("PIX", "PXB", "PHB", "NODE", "SYS", "")


def pci_distance(one: tuple[str, ...], other: tuple[str, ...], numa_one: int, numa_other: int) -> str:
    """Distance of two PCI devices from their sysfs chains, host bridge first (``pci0000:16``, ``0000:16:02.0``, …).

    Below a common switch each device hangs on a downstream port of its own, so the chains part two entries before their
    end. NUMA nodes are numbers, -1 where the kernel does not know; "" where nothing is known.
    """
    common = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        common += 1
    if common == 1:
        return "PHB"
    if common > 1:
        return "PIX" if max(len(one), len(other)) - common <= 2 else "PXB"
    if numa_one < 0 or numa_other < 0:
        return ""
    return "NODE" if numa_one == numa_other else "SYS"


def gpu_distances(node: Node, hca: Hca) -> tuple[str, ...]:
    """The distance of ``hca`` to each GPU in GPU order; a given ``nvidia-smi topo -m`` wins over our own reckoning."""
    if hca.name in node.topology:
        return node.topology[hca.name]
    return tuple(pci_distance(hca.pci_path, gpu.pci_path, hca.numa_node, gpu.numa_node) for gpu in node.gpus)


def nearest_in_gpu_order(node: Node, hcas: tuple[Hca, ...]) -> tuple[Hca, ...]:
    """``hcas`` so that the nearest free one of GPU 0 comes first, then that of GPU 1, …; those left over at the end."""
    distances = {hca.name: gpu_distances(node, hca) for hca in hcas}
    ordered: list[Hca] = []
    for gpu in range(max((len(d) for d in distances.values()), default=0)):
        free = [h for h in hcas if h not in ordered and gpu < len(distances[h.name])]
        ranked = sorted(free, key=lambda h: ORDER.index(d) if (d := distances[h.name][gpu]) in ORDER else len(ORDER))
        ordered += ranked[:1]
    return (*ordered, *(h for h in hcas if h not in ordered))
