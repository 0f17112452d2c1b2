# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which variables a release of NCCL reads, documented or not: ``data/nccl_variables.json``, made by tools/nccl_variables.

Releases before 2.18 are not in the table; of them nothing is known here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from ansible_collections.fullrank.serving.plugins.module_utils.common.versions import numbers
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.version import Version

TABLE = Path(__file__).parents[1] / "data" / "nccl_variables.json"

Run = tuple[Version, Version]
"""The first and the last release that read a variable; the last is () where the newest release does."""


@cache
def runs() -> Mapping[str, tuple[Run, ...]]:
    """Variable → its runs of releases."""
    variables = json.loads(TABLE.read_text(encoding="utf-8"))["variables"]
    return {
        name: tuple((numbers(first), numbers(last) if last else ()) for first, last in found)
        for name, found in variables.items()
    }


def is_read(name: str, version: Version | None) -> bool:
    """Whether NCCL ``version`` reads ``name``; of an unknown version, or one before 2.18, whether any release does."""
    found = runs().get(name, ())
    if version is None or version < (2, 18):
        return bool(found)
    return any(first[: len(version)] <= version and (not last or version <= last) for first, last in found)


def read_from(name: str) -> Version:
    """The first release of the table that reads ``name``; () where none does, or where it is the first of the table."""
    found = runs().get(name, ())
    first = min((run[0] for run in found), default=())
    return () if first == min(run[0] for all_runs in runs().values() for run in all_runs) else first


def read_until(name: str) -> Version:
    """The last release that reads ``name``; () where the newest does, or none."""
    lasts = [run[1] for run in runs().get(name, ())]
    return () if () in lasts else max(lasts, default=())
