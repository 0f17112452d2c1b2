# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Published model configurations and sizes, as the arithmetic of memory takes them."""

from __future__ import annotations

import json
from typing import Any

import yaml
from places import DATA

VECTORS = yaml.safe_load((DATA / "memory_vectors.yaml").read_text())
GIB = 1024**3
R1_BY_DTYPE = {"F8_E4M3": 680571043840, "BF16": 3918786560, "F32": 41555600}
"""``safetensors.parameters`` of deepseek-ai/DeepSeek-R1 as the hub's API gives it."""
OTHER_QUANTIZATION = {
    "deepseek-r1-int8": {"quant_method": "w8a8_int8"},
    "deepseek-r1-4bit": {"quant_method": "awq", "bits": 4, "group_size": 64},
    "kimi-k2-int4": {"quant_method": "compressed-tensors"},
}


def config_of(name: str) -> dict[str, Any]:
    folder = "deepseek-r1" if name.startswith("deepseek-r1-") and name in OTHER_QUANTIZATION else name
    folder = folder.removesuffix("-int4")
    config: dict[str, Any] = json.loads((DATA / "models" / folder / "config.json").read_text())
    if name in OTHER_QUANTIZATION:
        config["quantization_config"] = OTHER_QUANTIZATION[name]
    return config


def model_of(name: str, **more: Any) -> dict[str, Any]:
    size = {"total_size": VECTORS["sizes"][name]} if name in VECTORS["sizes"] else {}
    return {"config": config_of(name), **size, **more}


def codes(result: dict[str, Any]) -> set[str]:
    return {one["code"] for one in result["findings"]}


def label(vector: dict[str, Any]) -> str:
    return "-".join(str(vector[key]) for key in ("model", "dtype", "gpu", "tp", "pp", "ep", "context") if key in vector)
