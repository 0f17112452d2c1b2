# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers and lines of arithmetic that every part of the memory estimate shares."""

from __future__ import annotations

import re
from typing import Any

from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.models.numbers import mapping, number, whole

__all__ = ["GIB", "MIB", "Line", "at_least_one", "length", "line", "mapping", "number", "parts", "whole"]

MIB = 1024**2
GIB = 1024**3

_LETTERS = {"k": 10**3, "K": 2**10, "m": 10**6, "M": 2**20, "g": 10**9, "G": 2**30}

Line = dict[str, Any]
"""One line of arithmetic: ``label``, ``formula`` (with the numbers in it), ``value``, ``unit``."""


def at_least_one(value: Any) -> int:
    """``value`` as a size: an integer of at least 1 (a missing or senseless parallel size is 1)."""
    return max(1, whole(value, 1))


def length(value: Any) -> int:
    """A number of tokens as people write it: ``32k`` is 32,000 and ``32K`` is 32,768, as vLLM reads them; 0 for anything else.

    ``human_readable_int`` of vllm/utils/argparse_utils.py: a small letter is decimal, a capital one binary.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kKmMgG])\s*", value) if isinstance(value, str) else None
    if not found:
        return whole(value)
    return whole(float(found[1]) * _LETTERS[found[2]])


def parts(total: int, count: int) -> int:
    """The largest share when ``total`` things are dealt to ``count`` places."""
    return -(-total // max(1, count))


def line(label: str, formula: str, value: float, unit: str) -> Line:
    """One line of arithmetic. Bytes stay whole, everything else keeps three decimals."""
    return {"label": label, "formula": formula, "value": int(value) if unit != "GiB" else round(value, 3), "unit": unit}
