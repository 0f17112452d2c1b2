# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What GPUs hold and can compute, by the name that ``nvidia-smi`` prints.

Used when a plan is made from declared hardware; a fact (``memory_mib``, ``compute_capability``) always wins.

Sources
-------
* ``memory_mib``: ``memory.total`` as ``nvidia-smi`` prints it with ECC on, seen in published outputs, e.g. H200 143771
  (sgl-project/sglang#3196), H20 97871, H100 81559, B200 183359, B300 275040. SGLang reads the same number
  (``get_nvgpu_memory_capacity`` in sglang/srt/utils/common.py).
* AMD: the capacity of the data sheet in MiB (MI300X 192 GiB, MI325X 256 GiB).
* ``compute_capability``: https://developer.nvidia.com/cuda-gpus
* FP8 tensor cores from 8.9: https://docs.nvidia.com/cuda/cuda-programming-guide/05-appendices/compute-capabilities.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.values import mapping, whole

FP8_CAPABILITY = (8, 9)
BF16_CAPABILITY = (8, 0)

TABLE: tuple[tuple[str, int, str], ...] = (
    # pattern over the name without vendor and blanks, MiB, compute capability ("" for AMD); first match wins
    (r"B300|GB300", 275040, "10.3"),
    (r"GB200", 189471, "10.0"),
    (r"B200", 183359, "10.0"),
    (r"H200|H203E|H20141", 143771, "9.0"),
    (r"GH200", 97871, "9.0"),
    (r"H20", 97871, "9.0"),
    (r"H100NVL", 95830, "9.0"),
    (r"H100|H800", 81559, "9.0"),
    (r"RTXPRO6000", 97887, "12.0"),
    (r"RTX5090", 32607, "12.0"),
    (r"L40S|L40|L20$", 46068, "8.9"),
    (r"L4$", 23034, "8.9"),
    (r"RTX6000ADA", 49140, "8.9"),
    (r"RTX4090", 24564, "8.9"),
    (r"A[18]00.*40(GB)?$", 40960, "8.0"),
    (r"A[18]00", 81920, "8.0"),
    (r"A30$", 24576, "8.0"),
    (r"A40$", 46068, "8.6"),
    (r"RTXA6000|A6000", 49140, "8.6"),
    (r"A10G?$", 23028, "8.6"),
    (r"RTX3090", 24576, "8.6"),
    (r"T4$", 15360, "7.5"),
    (r"V100.*32GB", 32768, "7.0"),
    (r"V100", 16384, "7.0"),
    (r"MI325X", 262144, ""),
    (r"MI300X", 196608, ""),
)


@dataclass(frozen=True)
class Gpu:
    """One GPU as the estimate sees it."""

    name: str
    memory_mib: int
    """0 when neither declared nor known by name."""
    capability: tuple[int, int] | None
    """CUDA compute capability; None when unknown or when the GPU has none (AMD)."""

    @property
    def lacks_fp8(self) -> bool:
        """No FP8 tensor cores: compute capability below 8.9. Unknown counts as able."""
        return self.capability is not None and self.capability < FP8_CAPABILITY

    @property
    def lacks_bf16(self) -> bool:
        """No bfloat16: compute capability below 8.0. Unknown counts as able."""
        return self.capability is not None and self.capability < BF16_CAPABILITY


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
    known = next(((mib, cc) for pattern, mib, cc in TABLE if bare and re.match(pattern, bare)), (0, ""))
    return Gpu(
        name=name or "GPU",
        memory_mib=whole(declared.get("memory_mib")) or known[0],
        capability=capability(declared.get("compute_capability")) or capability(known[1]),
    )
