# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A table of plain text. Pure; private to this collection."""

from __future__ import annotations

from collections.abc import Collection, Sequence


def table(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> list[str]:
    """Columns as wide as their widest cell, two spaces between, no trailing white space; those in ``right`` end flush.

    >>> table([["size", "time"], ["64 KiB", "9 ms"], ["1 MiB", "120 ms"]], right=(1,))
    ['size      time', '64 KiB    9 ms', '1 MiB   120 ms']
    """
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(_cells(row, widths, right)).rstrip() for row in rows]


def _cells(row: Sequence[str], widths: Sequence[int], right: Collection[int]) -> list[str]:
    return [
        cell.rjust(width) if place in right else cell.ljust(width)
        for place, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]


def some(hosts: Sequence[str], most: int = 4) -> str:
    """Names for people: all of a few, the first of many.

    >>> some(["a", "b", "c", "d", "e", "f"])
    'a, b, c and 3 more'
    """
    if len(hosts) <= most:
        return ", ".join(hosts)
    return f"{', '.join(hosts[: most - 1])} and {len(hosts) - most + 1} more"
