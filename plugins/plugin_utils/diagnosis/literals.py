# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Text without which a pattern cannot match, so that most lines need no pattern at all. Pure; private to this collection.

Two hundred patterns on fifty thousand lines are ten million searches; looking for a piece of text costs a hundredth of one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

# docs/decisions/162
_parser = re._parser  # type: ignore[attr-defined]


def needed(pattern: str) -> tuple[str, ...]:
    """One of these is in every text that the pattern matches; empty where nothing is known."""
    found = _of_sequence(_parser.parse(pattern))
    return tuple(dict.fromkeys(found)) if all(len(one) > 1 for one in found) else ()


def _of_sequence(tree: Iterable[tuple[Any, Any]]) -> list[str]:
    """The best choice of a sequence: its runs of letters, and what its parts need; the one whose shortest piece is longest."""
    choices: list[list[str]] = []
    run = ""
    for kind, value in tree:
        name = str(kind)
        if name == "LITERAL":
            run += chr(value)
            continue
        if run:
            choices.append([run])
        run = ""
        inner = _of_part(name, value)
        if inner:
            choices.append(inner)
    if run:
        choices.append([run])
    return max(choices, key=lambda choice: min(map(len, choice)), default=[])


def _of_part(name: str, value: Any) -> list[str]:
    if name == "SUBPATTERN":
        # case is not looked at inside (?i:…)
        return [] if value[1] & re.IGNORECASE else _of_sequence(value[3])
    if name == "BRANCH":
        parts = [_of_sequence(part) for part in value[1]]
        return [one for part in parts for one in part] if all(parts) else []
    if name in ("MAX_REPEAT", "MIN_REPEAT") and value[0] > 0:
        return _of_sequence(value[2])
    return []
