# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The range of a number, as roles write it beside their argument specifications. Pure; private to this collection.

``1..65535`` is from 1 to 65535, both included; ``0, 30..86400`` is 0, or from 30 to 86400. Fractions are written with a point.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_NUMBER = r"-?\d+(?:\.\d+)?"
_PART = re.compile(rf"({_NUMBER})(?:\.\.({_NUMBER}))?")


@dataclass(frozen=True)
class Range:
    """Numbers that an option takes: one or several closed intervals, in ascending order."""

    parts: tuple[tuple[float, float], ...]

    @property
    def lowest(self) -> float:
        """The smallest number in it."""
        return self.parts[0][0]

    @property
    def highest(self) -> float:
        """The largest number in it."""
        return self.parts[-1][1]

    def holds(self, number: float) -> bool:
        """Whether the number is in it."""
        return any(low <= number <= high for low, high in self.parts)

    def nearest(self, number: float) -> float:
        """The number in it that is nearest to one outside."""
        return min((bound for part in self.parts for bound in part), key=lambda bound: abs(bound - number))

    def __str__(self) -> str:
        """For people.

        >>> str(parse("0, 30..86400"))
        '0, or 30 to 86400'
        """
        return ", or ".join(_text(low) if low == high else f"{_text(low)} to {_text(high)}" for low, high in self.parts)


def _text(number: float) -> str:
    return str(int(number)) if number == int(number) else str(number)


def _read(text: str) -> float:
    return float(text) if "." in text else int(text)


def is_range(text: str) -> bool:
    """Whether a rule is a range, and not the name of a format.

    >>> [is_range(one) for one in ("1..65535", "-1, 0..8", "0.5..1", "path", "1..")]
    [True, True, True, False, False]
    """
    return all(_PART.fullmatch(part.strip()) for part in text.split(","))


def parse(text: str) -> Range:
    """A range from its text. ValueError: it is none, or its parts do not ascend."""
    if not is_range(text):
        raise ValueError(f"{text!r} is no range such as 1..65535 or 0, 30..86400")
    found = [match for part in text.split(",") if (match := _PART.fullmatch(part.strip()))]
    parts = tuple((_read(one[1]), _read(one[2] or one[1])) for one in found)
    bounds = [bound for part in parts for bound in part]
    if bounds != sorted(bounds):
        raise ValueError(f"{text!r} does not ascend")
    return Range(parts)
