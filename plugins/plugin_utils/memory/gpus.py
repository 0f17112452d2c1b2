# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What GPUs hold and can compute, by the name that ``nvidia-smi`` prints.

Used when a plan is made from declared hardware; a fact (``memory_mib``, ``compute_capability``) always wins.

Sources
-------
* ``memory_mib``: ``memory.total`` as ``nvidia-smi`` prints it with ECC on, seen in published outputs, e.g. H200 143771
  (sgl-project/sglang#3196), H20 97871, H100 81559, B200 183359, B300 275040, GB200 189471, GB300 284208. SGLang reads the
  same number (``get_nvgpu_memory_capacity`` in sglang/srt/utils/common.py).
* ``reserved_mib``: what the driver keeps for itself (``FB Memory Usage: Reserved`` of ``nvidia-smi -q``). CUDA reports so
  much less: H100 480 (logs of vLLM: 79.19 GiB), B200 728, GB200 742 (184.31 GiB), GB300 947 (276.62 GiB), L40S 609, T4 448.
  Where no output was seen it comes from the total that vLLM's logs print; 0 stands for `unseen_reserve`.
* GB10 (DGX Spark): ``nvidia-smi`` prints no total; CUDA reports 121.6 to 121.7 GiB of the 128 GB that CPU and GPU share.
* AMD: the capacity of the data sheet in MiB (MI300X 192 GiB, MI325X 256 GiB, MI355X 288 GiB).
* ``compute_capability``: https://developer.nvidia.com/cuda-gpus
* FP8 tensor cores from 8.9: https://docs.nvidia.com/cuda/cuda-programming-guide/05-appendices/compute-capabilities.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import Finding, finding
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.values import MIB, at_least_one, mapping, whole

FP8_CAPABILITY = (8, 9)
BF16_CAPABILITY = (8, 0)

AMD = "AMD"
UNIFIED = "unified"
PCIE = "PCIe"
"""Cards without NVLink between all GPUs of a node."""


@dataclass(frozen=True)
class Board:
    """What is known of a kind of GPU."""

    memory_mib: int
    capability: str = ""
    reserved_mib: int = 0
    kind: str = ""
    """``AMD``, ``unified`` (memory shared with the CPU), ``PCIe``; empty for NVLink or NVSwitch between all GPUs."""


BOARDS: tuple[tuple[str, Board], ...] = (
    # pattern over the name without vendor and blanks; first match wins
    (r"GB300", Board(284208, "10.3", 947)),
    (r"B300", Board(275040, "10.3", 925)),
    (r"GB200", Board(189471, "10.0", 742)),
    (r"B200", Board(183359, "10.0", 728)),
    (r"GB10$", Board(124580, "12.1", 1, UNIFIED)),
    (r"H200NVL", Board(143771, "9.0", 640, PCIE)),
    (r"H200|H203E|H20141", Board(143771, "9.0", 640)),
    (r"GH200", Board(97871, "9.0", 480)),
    (r"H20", Board(97871, "9.0", 480)),
    (r"H100NVL", Board(95830, "9.0", 480, PCIE)),
    (r"H[18]00PCIE", Board(81559, "9.0", 480, PCIE)),
    (r"H[18]00", Board(81559, "9.0", 480)),
    (r"RTXPRO6000", Board(97887, "12.0", 615, PCIE)),
    (r"RTXPRO4500", Board(32623, "12.0", 490, PCIE)),
    (r"RTX5090", Board(32607, "12.0", 470, PCIE)),
    (r"L40S|L40|L20$", Board(46068, "8.9", 609, PCIE)),
    (r"L4$", Board(23034, "8.9", 455, PCIE)),
    (r"RTX6000ADA", Board(49140, "8.9", 630, PCIE)),
    (r"RTX4090", Board(24564, "8.9", 400, PCIE)),
    (r"A[18]00PCIE.*40(GB)?$", Board(40960, "8.0", 518, PCIE)),
    (r"A[18]00.*40(GB)?$", Board(40960, "8.0", 518)),
    (r"A[18]00.*PCIE", Board(81920, "8.0", 730, PCIE)),
    (r"A[18]00", Board(81920, "8.0", 730)),
    (r"A30$", Board(24576, "8.0", 0, PCIE)),
    (r"A40$", Board(46068, "8.6", 600, PCIE)),
    (r"RTXA6000|A6000", Board(49140, "8.6", 630, PCIE)),
    (r"A10G?$", Board(23028, "8.6", 440, PCIE)),
    (r"RTX3090", Board(24576, "8.6", 390, PCIE)),
    (r"T4$", Board(15360, "7.5", 448, PCIE)),
    (r"V100PCIE.*32GB", Board(32768, "7.0", 0, PCIE)),
    (r"V100PCIE", Board(16384, "7.0", 0, PCIE)),
    (r"V100.*32GB", Board(32768, "7.0")),
    (r"V100", Board(16384, "7.0")),
    (r"RTX|GTX|TITAN|QUADRO", Board(0, kind=PCIE)),
    (r"MI35[05]X?", Board(294912, kind=AMD)),
    (r"MI325X?", Board(262144, kind=AMD)),
    (r"MI30[08]X?", Board(196608, kind=AMD)),
)


def unseen_reserve(memory_mib: int) -> int:
    """MiB that the driver of a GPU keeps of which no output was seen: from 400 MiB at 16 GiB to 950 at 280, as the others do."""
    return 400 + memory_mib // 500


@dataclass(frozen=True)
class Gpu:
    """One GPU as the estimate sees it."""

    name: str
    memory_mib: int
    """0 when neither declared nor known by name."""
    capability: tuple[int, int] | None
    """CUDA compute capability; None when unknown or when the GPU has none (AMD)."""
    reserved_mib: int = 0
    kind: str = ""
    """As in `Board`."""
    nvlink: bool = True
    """Whether NVLink joins the GPUs of a node; NCCL takes larger buffers there."""

    @property
    def lacks_fp8(self) -> bool:
        """No FP8 tensor cores: compute capability below 8.9. Unknown counts as able."""
        return self.capability is not None and self.capability < FP8_CAPABILITY

    @property
    def lacks_bf16(self) -> bool:
        """No bfloat16: compute capability below 8.0. Unknown counts as able."""
        return self.capability is not None and self.capability < BF16_CAPABILITY

    @property
    def total(self) -> int:
        """Bytes as ``nvidia-smi`` counts them."""
        return self.memory_mib * MIB

    @property
    def visible(self) -> int:
        """Bytes as CUDA counts them: without what the driver keeps."""
        return max(0, self.memory_mib - self.reserved_mib) * MIB

    @property
    def unified(self) -> bool:
        """CPU and GPU share one memory."""
        return self.kind == UNIFIED

    @property
    def a100(self) -> bool:
        """Whether its name has what vLLM looks for when it chooses its defaults (the A800 has not)."""
        return "a100" in self.name.lower()


def capability(value: Any) -> tuple[int, int] | None:
    """``8.0``, ``"8.0"`` or ``"sm_80"`` as ``(8, 0)``; None for anything else."""
    text = str(value)
    dotted = re.fullmatch(r"(\d{1,2})\.(\d)", text)
    packed = re.fullmatch(r"sm_?(\d{1,2})(\d)[af]?", text)
    found = dotted or packed
    return (int(found[1]), int(found[2])) if found else None


def gpu(hardware: Any) -> Gpu:
    """The GPU of ``hardware``: ``gpu`` (its name), ``memory_mib``, ``compute_capability``; facts win over the table."""
    declared = mapping(hardware)
    name = str(declared.get("gpu") or declared.get("name") or "")
    bare = re.sub(r"NVIDIA|AMD|INSTINCT|TESLA|GEFORCE|GENERATION|[^A-Z0-9]", "", name.upper())
    known = next((board for pattern, board in BOARDS if bare and re.match(pattern, bare)), Board(0))
    memory_mib = whole(declared.get("memory_mib")) or known.memory_mib
    # the reserve belongs to the board that has about so much memory: a part of it (MIG) keeps nothing more of its own
    same = known.memory_mib and abs(memory_mib - known.memory_mib) < known.memory_mib / 20
    alone = at_least_one(declared.get("nvlink_domain") or 2) == 1
    return Gpu(
        name=name or "GPU",
        memory_mib=memory_mib,
        capability=capability(declared.get("compute_capability")) or capability(known.capability),
        reserved_mib=known.reserved_mib
        if same and known.reserved_mib
        else unseen_reserve(memory_mib)
        if memory_mib
        else 0,
        kind=known.kind,
        nvlink=known.kind not in (PCIE, UNIFIED) and not alone,
    )


def board_findings(card: Gpu) -> list[Finding]:
    """What a reader should know of this kind of GPU before anything else."""
    if card.kind == AMD:
        message = f"{card.name} is counted by its memory; this collection installs no driver and no engine for AMD GPUs"
        remedy = "take the estimate only, and install driver, ROCm and engine yourself"
        return [finding("warn", "amd-software", "hardware.gpu", message, remedy)]
    if card.unified:
        message = f"CPU and GPU of {card.name} share one memory: what the system and its page cache hold is missing to the engine"
        return [finding("info", "unified-memory", "hardware.gpu", message)]
    return []
