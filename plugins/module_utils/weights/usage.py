# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which units of ours use a folder of weights, and which folders are old revisions. Pure; private to this collection."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any


def users(path: str, units: Mapping[str, str]) -> list[str]:
    """The units whose text names ``path`` or something inside it; a longer name that only begins so does not count."""
    named = re.compile(re.escape(path.rstrip("/")) + r"(?![\w.-])")
    return sorted(name for name, text in units.items() if named.search(text))


def old_revisions(copies: Mapping[str, Mapping[str, Any]], repo: str, keep: Sequence[str]) -> list[str]:
    """The folders that hold ``repo`` and are not among ``keep``. ``copies``: folder → its manifest's source."""
    wanted = {one.rstrip("/") for one in keep}
    return sorted(path for path, source in copies.items() if source["repo"] == repo and path.rstrip("/") not in wanted)
