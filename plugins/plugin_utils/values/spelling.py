# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a name is a misspelling of another one. Pure; private to this collection."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from functools import lru_cache

LIKENESS = 0.85
"""difflib's ratio of whole names, at least."""
LIKENESS_OF_ONE = 0.8
"""The same where one mistake was made: it counts two equal letters beside each other twice (``router_qeuue``: 0.83)."""
SHORT = 5
"""Characters of what differs between names: up to so many one mistake is a misspelling, in longer ones two are."""


def distance(one: str, other: str) -> int:
    """Letters to insert, remove, replace or swap with their neighbour to make one text of the other.

    >>> [distance("prot", "port"), distance("secnds", "seconds"), distance("tag", "args")]
    [1, 1, 3]
    """
    above: list[int] = []
    last = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        row = [i]
        for j, wanted in enumerate(other, 1):
            cost = min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (letter != wanted))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == wanted:
                cost = min(cost, above[j - 2] + 1)
            row.append(cost)
        above, last = last, row
    return last[-1]


def misspelt(name: str, known: Collection[str], prefix: str = "") -> str:
    """The known name that was meant; empty where none is near enough. prefix: what all have in common, which proves nothing.

    >>> misspelt("engine_prot", ["engine_port", "engine_model"], "engine_")
    'engine_port'
    >>> misspelt("engine_tag", ["engine_args"], "engine_")
    ''
    """
    return _misspelt(name, tuple(sorted(known)), prefix)


@lru_cache(maxsize=4096)  # hosts have the same names
def _misspelt(name: str, known: tuple[str, ...], prefix: str) -> str:
    if near := difflib.get_close_matches(name, known, n=1, cutoff=LIKENESS_OF_ONE):
        mistakes = distance(name, near[0])
        alike = difflib.SequenceMatcher(None, near[0], name).ratio() >= LIKENESS
        allowed = 2 if alike and len(near[0].removeprefix(prefix)) > SHORT else 1
        return near[0] if mistakes <= allowed else ""
    return ""
