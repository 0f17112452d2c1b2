# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fields of a config.json: any spelling, with the defaults of the published class, and a record of what was read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.models.numbers import mapping, number, whole


class Fields:
    """One level of a config.json. A field that is written as null is written: the default does not count then."""

    def __init__(self, written: Mapping[str, Any], defaults: Mapping[str, Any] | None = None) -> None:
        self.written = written
        self.defaults = defaults or {}
        self.read: set[str] = set()
        """Names that were asked for, whether they were there or not."""

    def raw(self, *names: str) -> Any:
        """The first of ``names`` that is written and not null; without one that is written, the first default."""
        self.read.update(names)
        found = next((self.written[name] for name in names if self.written.get(name) is not None), None)
        if found is not None or any(name in self.written for name in names):
            return found
        return next((self.defaults[name] for name in names if self.defaults.get(name) is not None), None)

    def first(self, *names: str) -> int:
        """The first of ``names`` that is a number above 0; 0 without one. Of a list of numbers the largest counts."""
        self.read.update(names)
        for name in names:
            size = _size(self.written.get(name))
            if size:
                return size
        if any(name in self.written for name in names):
            return 0
        return next((size for size in (_size(self.defaults.get(name)) for name in names) if size), 0)

    def fraction(self, *names: str) -> float:
        """As `first`, for numbers that are no integers."""
        return number(self.raw(*names))

    def flag(self, *names: str) -> bool:
        """Whether one of ``names`` is true."""
        return self.raw(*names) is True

    def text(self, *names: str) -> str:
        """A word in lower case."""
        found = self.raw(*names)
        return found.lower() if isinstance(found, str) else ""

    def items(self, *names: str) -> list[Any]:
        """A list; numbers in one string with commas are one too (Step 3.5 writes them so)."""
        found = self.raw(*names)
        if isinstance(found, str) and found.replace(",", "").replace(" ", "").isdigit() and "," in found:
            return [int(part) for part in found.split(",") if part.strip()]
        return list(found) if isinstance(found, Sequence) and not isinstance(found, (str, bytes)) else []

    def numbers(self, *names: str) -> list[int]:
        """A list of whole numbers, 0 for what is none."""
        return [whole(item) for item in self.items(*names)]

    def below(self, *names: str) -> Fields:
        """A mapping inside this one, empty when there is none."""
        return Fields(mapping(self.raw(*names)))


def _size(value: Any) -> int:
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return max((whole(item) for item in value[:10000]), default=0)
    return whole(value)
