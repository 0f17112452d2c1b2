# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""NCCL's version, as people and programs write it."""

from __future__ import annotations

from typing import Any

Version = tuple[int, ...]

GID_AUTOSELECT: Version = (2, 21)
"""From here NCCL picks the RoCE GID of every device itself.

Source: NCCL user guide, env.html, NCCL_IB_ADDR_FAMILY and NCCL_IB_ROCE_VERSION_NUM ("since 2.21").
"""


def parse_version(value: Any) -> Version | None:
    """``2.21.5``, ``2.21.5-1``, ``2.27.3+cuda12.9``, ``(2, 21, 5)`` or NCCL_VERSION_CODE 22105; None for anything else.

    A YAML float is refused: an unquoted 2.20 has already become 2.2 when we see it.
    """
    if isinstance(value, bool | float) or value is None:
        return None
    if isinstance(value, int):
        # NCCL_VERSION_CODE, nccl.h: X*10000 + Y*100 + Z since 2.9, X*1000 + Y*100 + Z before
        if value >= 20000:
            return (value // 10000, value // 100 % 100, value % 100)
        return (value // 1000, value // 100 % 10, value % 100) if value >= 2000 else None
    if isinstance(value, list | tuple):
        numbers = tuple(n for n in value if isinstance(n, int) and not isinstance(n, bool) and n >= 0)
        return numbers if len(numbers) == len(value) >= 2 else None
    text = str(value).strip().removeprefix("v").split("+")[0].split("-")[0]
    parts = text.split(".")
    if len(parts) < 2 or not all(p.isascii() and p.isdigit() for p in parts):
        return None
    return tuple(int(p) for p in parts)


def version_text(version: Version | None) -> str:
    """``2.21.5``, or "of unknown version"."""
    return ".".join(map(str, version)) if version else "of unknown version"
