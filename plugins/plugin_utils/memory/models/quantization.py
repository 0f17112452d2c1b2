# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a checkpoint's weights are stored: ``quantization_config`` of config.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.models.numbers import mapping, whole


@dataclass(frozen=True)
class Quantization:
    """How the checkpoint's weights are stored."""

    method: str = ""
    """``quant_method``: fp8, awq, gptq, compressed-tensors, modelopt …; empty when nothing is quantized."""
    fp8: bool = False
    bits: int = 0
    """Bits per quantized weight; 0 when unknown."""
    block: int = 0
    """FP8 with one scale for block x block weights (``weight_block_size``); 0 without blocks."""
    group: int = 0
    """INT4 with one scale per ``group`` inputs (``group_size``); 0 without groups."""
    unconverted: str = ""
    """Names of the modules left in the original dtype, in one text to search in."""


def quantization(top: Mapping[str, Any], text: Mapping[str, Any]) -> Quantization:
    """``quantization_config`` of the model or, in nested configs, of its text part."""
    raw = mapping(top.get("quantization_config")) or mapping(text.get("quantization_config"))
    method = str(raw.get("quant_method") or raw.get("quant_algo") or ("unknown" if raw else "")).lower()
    group_config = next(iter(mapping(raw.get("config_groups")).values()), None)
    weights = mapping(mapping(group_config).get("weights"))
    fp8 = "fp8" in method or (str(weights.get("type")) == "float" and whole(weights.get("num_bits")) == 8)
    blocks = raw.get("weight_block_size") or weights.get("block_structure")
    unconverted = raw.get("modules_to_not_convert") or raw.get("ignore") or raw.get("ignored_layers")
    return Quantization(
        method=method,
        fp8=fp8,
        bits=8 if fp8 else whole(raw.get("bits")) or whole(weights.get("num_bits")) or (8 if "int8" in method else 0),
        block=whole(blocks[0]) if fp8 and isinstance(blocks, list) and blocks else 0,
        group=0 if fp8 else whole(raw.get("group_size")) or whole(weights.get("group_size")),
        unconverted=" ".join(map(str, unconverted)) if isinstance(unconverted, list) else "",
    )
