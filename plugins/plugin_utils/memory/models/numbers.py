# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers out of a ``config.json``, which comes from anybody: every reader takes any value, and answers with a number."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

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


def mapping(value: Any) -> Mapping[str, Any]:
    """``value`` if it is a mapping, otherwise an empty one."""
    return value if isinstance(value, Mapping) else {}
