# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Valid options of an engine version by chance, the same for the same seed."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from random import Random
from typing import Any

from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.catalog import VersionCatalog
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.option import Option


@dataclass(frozen=True)
class Sampler:
    """Draws option sets.

    texts, objects: what options of type text and JSON are given.
    """

    random: Random
    texts: tuple[str, ...] = (
        "auto",
        "two words",
        "quo'te",
        'dou"ble',
        "$HOME",
        "50%",
        "größe",
        "a=b",
        "b\\c",
        "d\te",
        ";",
    )
    objects: tuple[Any, ...] = ({}, {"key": 1}, {"a": [1, 2], "größe": {"b": "c d"}})

    def option_set(self, version: VersionCatalog, leave: Collection[str]) -> dict[str, Any]:
        """One to twelve options with values. leave: canonical names in snake case that are not to be drawn."""
        free = [o for o in version.options if o.kind != "positional" and o.key not in leave and not o.deprecated]
        drawn = self.random.sample(free, self.random.randint(1, min(12, len(free))))
        return {option.key: self._value(option) for option in drawn}

    def _value(self, option: Option) -> Any:
        if option.kind == "flag":
            return True
        if option.kind == "switch":
            return self.random.random() < 0.5
        if option.kind in ("list", "repeat"):
            count = int(option.nargs) if option.nargs.isdigit() else self.random.randint(1, 3)
            return [self._word(option) for _ in range(count)]
        return self._word(option)

    def _word(self, option: Option) -> Any:
        if option.choices:
            return self.random.choice(option.choices)
        kind = "json" if option.kind == "json" else self.random.choice(option.type.split("|"))
        return {
            "int": self.random.randint(1, 4096),
            "float": self.random.randint(1, 99) / 100,
            "bool": self.random.random() < 0.5,
            "human-int": self.random.choice(["1k", "2M", 4096]),
            "auto": "auto",
            "str": self.random.choice(self.texts),
            "json": self.random.choice(self.objects),
        }[kind]
