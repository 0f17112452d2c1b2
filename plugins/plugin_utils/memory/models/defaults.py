# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Defaults of the published configuration classes, which count where a config.json leaves a field out.

``plugin_utils/data/models/defaults.json`` is made by ``python -m tools.model_defaults`` from the classes of transformers and vLLM
that are installed beside the engine. It has the fields that are read here, and no others.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

FILE = Path(__file__).parents[2] / "data" / "models" / "defaults.json"

SAME = {
    # model types without a class of their own → the class that their authors took
    "kimi_k2": "deepseek_v3",
    "deepseek_ref": "deepseek_v4",
    "step3p7": "step3p5",
    "minimax_m3": "minimax_m3_vl_text",
    "mimo_v2_omni": "mimo_v2_flash",
    "mimo_v2": "mimo_v2_flash",
}


@cache
def _table() -> Mapping[str, Mapping[str, Any]]:
    content: Mapping[str, Mapping[str, Any]] = json.loads(FILE.read_text(encoding="utf-8"))["classes"]
    return content


def defaults(model_type: str) -> Mapping[str, Any]:
    """Field → default of the class of ``model_type``; empty for a type without a class."""
    table = _table()
    return table.get(model_type) or table.get(SAME.get(model_type, ""), {})


def text_type(model_type: str) -> str:
    """The model type of the language part of ``model_type``, as its class has it; the type itself without parts."""
    return str(defaults(model_type).get("text_part") or model_type)
