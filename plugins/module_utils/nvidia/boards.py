# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an NVIDIA GPU is by its PCI device id, and what follows for the driver: kernel modules, branches, fabric.

Sources: the PCI ID Repository (pci.ids, vendor 10de) for ids and chips; NVIDIA Driver Installation Guide, "Kernel Modules"
(open modules: required from Blackwell and on Grace Hopper, possible from Turing); NVIDIA's notice that R580 is the last
branch for Maxwell, Pascal and Volta; release notes of the data centre drivers for the first branch of a generation;
Fabric Manager User Guide for which boards have which switches.

PRIVATE to this collection.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

OPEN, PROPRIETARY = "open", "proprietary"


@dataclass(frozen=True)
class Generation:
    """Device ids from ``first`` on, up to the next generation's. ``modules``: kernel modules that drive it, the better
    first. Branches that do; ``last_branch`` 0: still supported."""

    first: int
    name: str
    modules: tuple[str, ...]
    first_branch: int
    last_branch: int = 0


# by device id, ascending; ids of one generation lie together (pci.ids)
GENERATIONS = (
    Generation(0x0000, "Kepler or older", (PROPRIETARY,), 0, 470),
    Generation(0x1340, "Maxwell", (PROPRIETARY,), 0, 580),
    Generation(0x15F0, "Pascal", (PROPRIETARY,), 0, 580),
    Generation(0x1D80, "Volta", (PROPRIETARY,), 0, 580),
    Generation(0x1E00, "Turing", (OPEN, PROPRIETARY), 410),
    Generation(0x2080, "Ampere", (OPEN, PROPRIETARY), 450),
    Generation(0x2180, "Turing", (OPEN, PROPRIETARY), 418),
    Generation(0x2200, "Ampere", (OPEN, PROPRIETARY), 450),
    Generation(0x2300, "Hopper", (OPEN, PROPRIETARY), 525),
    Generation(0x2340, "Grace Hopper", (OPEN,), 535),
    Generation(0x2400, "Ampere", (OPEN, PROPRIETARY), 450),
    Generation(0x2680, "Ada Lovelace", (OPEN, PROPRIETARY), 525),
    Generation(0x2900, "Blackwell", (OPEN,), 570),
)

# what operators have; others go by their generation
PRODUCTS = {
    0x15F8: "P100", 0x1B38: "P40", 0x1BB3: "P4", 0x1DB1: "V100 SXM2 16GB", 0x1DB4: "V100 PCIe", 0x1DB5: "V100 SXM2 32GB",
    0x1EB8: "T4", 0x20B0: "A100 SXM4 40GB", 0x20B2: "A100 SXM4 80GB", 0x20B5: "A100 PCIe 80GB", 0x20B7: "A30",
    0x20F1: "A100 PCIe 40GB", 0x20F3: "A800 SXM4 80GB", 0x2235: "A40", 0x2236: "A10", 0x2321: "H100 NVL",
    0x2322: "H800 PCIe", 0x2324: "H800", 0x2329: "H20", 0x2330: "H100 SXM5 80GB", 0x2331: "H100 PCIe", 0x2335: "H200 SXM",
    0x233B: "H200 NVL", 0x2342: "GH200", 0x26B5: "L40", 0x26B9: "L40S", 0x26BA: "L20", 0x27B8: "L4", 0x2901: "B200",
    0x2941: "GB200", 0x2BB5: "RTX PRO 6000 Server", 0x3182: "B300 SXM6", 0x31C2: "GB300", 0x31C3: "GB300",
}  # fmt: skip

# GPUs whose NVSwitches are behind ConnectX bridges that the Subnet Manager drives (HGX and DGX B200, B300)
NVLINK5_BOARDS = frozenset({0x2901, 0x3182})
# compute trays of NVL72 racks: the fabric is managed on the switch trays, nodes exchange memory by IMEX
NVL72_BOARDS = frozenset({0x2941, 0x31C2, 0x31C3})


def generation(device: int) -> Generation:
    """The generation of a PCI device id.

    >>> generation(0x2335).name
    'Hopper'
    """
    return [one for one in GENERATIONS if one.first <= device][-1]


def product(device: int) -> str:
    return PRODUCTS.get(device, f"{generation(device).name} {device:04x}")


def fabric(gpus: list[int], nvswitches: int, subnet_managers: int) -> str:
    """What manages the NVLink fabric of a node with these GPUs, by what is on its bus.

    nvswitches: NVSwitches (or their entries in /proc/driver/nvidia-nvswitch). subnet_managers: NICs whose vital product
    data has SW_MNG. Returns ``none`` (PCIe cards, bridges, guests without switches), ``nvswitch`` (Fabric Manager),
    ``nvlink5`` (Fabric Manager with nvlsm) or ``nvl72`` (IMEX).
    """
    if NVL72_BOARDS.intersection(gpus):
        return "nvl72"
    if subnet_managers and NVLINK5_BOARDS.intersection(gpus):
        return "nvlink5"
    return "nvswitch" if nvswitches else "none"


def kernel_modules(gpus: list[int], wanted: str, better: str = OPEN) -> tuple[str, list[str]]:
    """The kernel modules for these GPUs, ``open`` or ``proprietary``, and the products that ``wanted`` cannot drive.

    wanted: ``auto`` takes what the GPUs ask for, ``better`` where both work.
    """
    if wanted == "auto":
        possible = [kind for kind in (OPEN, PROPRIETARY) if all(kind in generation(gpu).modules for gpu in gpus)]
        wanted = better if better in possible or not possible else possible[0]
    return wanted, sorted({product(gpu) for gpu in gpus if wanted not in generation(gpu).modules})


def unsupported(gpus: list[int], branch: int) -> dict[str, Any]:
    """Product → the rule that keeps this driver branch from driving it."""
    found = {}
    for gpu in gpus:
        kind = generation(gpu)
        if kind.last_branch and branch > kind.last_branch:
            found[product(gpu)] = f"{kind.last_branch} is the last branch for {kind.name}"
        elif branch < kind.first_branch:
            found[product(gpu)] = f"{kind.first_branch} is the first branch for {kind.name}"
    return found
