# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a fetch is, in one line. Pure; private to this collection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common import human


def line(fetch: Mapping[str, Any]) -> str:
    """``fetching 12.3 GB of 689.0 GB (1.8 %), 412 MB/s, 27 min left, 5 of 163 files``."""
    done, total = fetch.get("bytes", 0), fetch.get("total", 0)
    text = str(fetch.get("phase", "starting"))
    if not total:
        return text
    text += f" {human.decimal(done)} of {human.decimal(total)} ({100 * done / total:.1f} %)"
    if fetch.get("phase") == "fetching":
        rate = fetch.get("rate", 0.0)
        text += f", {human.rate(rate)}, {human.duration((total - done) / rate)} left" if rate else ", nothing arrives"
    return f"{text}, {fetch.get('files_done', 0)} of {fetch.get('files', 0)} files"
