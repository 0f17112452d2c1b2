# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a fetch is, in one line. Pure; private to this collection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_UNITS = ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "kB"))


def amount(count: float) -> str:
    """Bytes in decimal units, as disks and networks are sold: ``12.3 GB``."""
    for size, name in _UNITS:
        if count >= size:
            return f"{count / size:.1f} {name}"
    return f"{count:.0f} B"


def duration(seconds: float) -> str:
    """``2 h 05 min``, ``4 min``, ``30 s``."""
    if seconds >= 3600:
        return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60):02d} min"
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"


def line(fetch: Mapping[str, Any]) -> str:
    """``fetching 12.3 GB of 689.0 GB (1.8 %), 412.0 MB/s, 27 min left, 5 of 163 files``."""
    done, total = fetch.get("bytes", 0), fetch.get("total", 0)
    text = str(fetch.get("phase", "starting"))
    if not total:
        return text
    text += f" {amount(done)} of {amount(total)} ({100 * done / total:.1f} %)"
    if fetch.get("phase") == "fetching":
        rate = fetch.get("rate", 0.0)
        text += f", {amount(rate)}/s, {duration((total - done) / rate)} left" if rate else ", nothing arrives"
    return f"{text}, {fetch.get('files_done', 0)} of {fetch.get('files', 0)} files"
