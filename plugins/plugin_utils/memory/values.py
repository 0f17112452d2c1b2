# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers and lines of arithmetic that every part of the memory estimate shares.

A ``config.json`` comes from anybody: every reader here takes any value and answers with a number or the default.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

MIB = 1024**2
GIB = 1024**3

Line = dict[str, Any]
"""One line of arithmetic: ``label``, ``formula`` (with the numbers in it), ``value``, ``unit``."""

_LARGEST = 10**15  # above every size of a model that exists, in parameters and in bytes


def number(value: Any, default: float = 0.0) -> float:
    """``value`` as a finite float between 0 and 1e15, whatever was written; otherwise ``default``."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return default
    try:
        result = float(value)
    except (ValueError, OverflowError):
        return default
    return result if math.isfinite(result) and 0 <= result <= _LARGEST else default


def whole(value: Any, default: int = 0) -> int:
    """``value`` as an integer of at least 0; strings of digits count, because inventories hold them."""
    return int(number(value, float(default)))


def at_least_one(value: Any) -> int:
    """``value`` as a size: an integer of at least 1 (a missing or senseless parallel size is 1)."""
    return max(1, whole(value, 1))


def mapping(value: Any) -> Mapping[str, Any]:
    """``value`` if it is a mapping, otherwise an empty one."""
    return value if isinstance(value, Mapping) else {}


def parts(total: int, count: int) -> int:
    """The largest share when ``total`` things are dealt to ``count`` places."""
    return -(-total // max(1, count))


def line(label: str, formula: str, value: float, unit: str) -> Line:
    """One line of arithmetic. Bytes stay whole, everything else keeps three decimals."""
    return {"label": label, "formula": formula, "value": int(value) if unit != "GiB" else round(value, 3), "unit": unit}
