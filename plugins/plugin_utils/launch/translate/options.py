# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The words behind an engine's program → its options with their values, by the flag catalog of the version."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.catalog import VersionCatalog
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.option import Option, read_value, snake

_NUMBER = re.compile(r"-(\d+|\d*\.\d+)$")


@dataclass
class Parsed:
    """What stands on a command line."""

    positional: list[str] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)
    """Name as it goes into ``engine_args`` (snake case; canonical where this version knows it) → value."""


def read(words: Sequence[str], catalog: VersionCatalog) -> Parsed:
    """Read the words of a command line as the engine's parser would, and keep what it would not know."""
    parsed = Parsed()
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if not _is_option(word):
            parsed.positional.append(word)
            continue
        name, joined, value = word.partition("=")
        option = _option(catalog, name)
        if option is None:
            key = _key(name)
            base = catalog.lookup(name.partition(".")[0]) if "." in name else None
            taken = [value] if joined else list(_values(rest, one=base is not None))
            parsed.options[key] = _plain(taken)
        else:
            parsed.options.update(_known(option, name, [value] if joined else None, rest, parsed.options))
    return parsed


def _option(catalog: VersionCatalog, name: str) -> Option | None:
    """The option of a name, or of an abbreviation that only one option begins with, where the engine's parser takes those."""
    option = catalog.lookup(name)
    if option or not catalog.catalog.abbreviations or not name.startswith("--"):
        return option
    begins = {one.name: one for one in catalog.options if any(word.startswith(name) for word in one.spellings)}
    return next(iter(begins.values())) if len(begins) == 1 else None


def _known(
    option: Option, name: str, joined: list[str] | None, rest: list[str], before: dict[str, Any]
) -> dict[str, Any]:
    if option.kind in ("flag", "switch"):
        on = not any(spelling.startswith(name) for spelling in option.off) or name in option.spellings[:1]
        return {option.key: on if joined is None else joined[0]}
    if option.kind == "list":
        taken = joined or list(_values(rest))
        return {option.key: [_typed(option, word, several=True) for word in taken]}
    if option.kind == "repeat":
        taken = joined or list(_values(rest, one=not option.nargs))
        items = [_typed(option, word, several=True) for word in taken]
        return {option.key: [*before.get(option.key, []), *([items] if option.nargs else items)]}
    optional = option.nargs == "?"
    taken = joined or list(_values(rest, one=True, dashes=not optional))
    return {option.key: _typed(option, taken[0]) if taken else True}


def _values(rest: list[str], *, one: bool = False, dashes: bool = False) -> Iterator[str]:
    """Words that are values, taken away from the rest. dashes: also one that begins with a dash, if it is a number."""
    while rest and (not _is_option(rest[0]) or (dashes and bool(_NUMBER.match(rest[0])))):
        yield rest.pop(0)
        if one:
            return


def _is_option(word: str) -> bool:
    return word.startswith("-") and len(word) > 1 and not _NUMBER.match(word)


def _typed(option: Option, word: str, *, several: bool = False) -> Any:
    """The value in the option's own type; as it was written where it has none of them, for the renderer to refuse."""
    try:
        value = read_value(option, word)
    except ValueError:
        return word
    return value[0] if several and isinstance(value, list) and value else value


def _plain(words: list[str]) -> Any:
    """The value of an option that is not known: true without a word, else a word or several; whole numbers as such."""
    values = [int(word) if re.fullmatch(r"-?\d{1,15}", word) else word for word in words]
    return True if not values else values[0] if len(values) == 1 else values


def _key(name: str) -> str:
    """``--Some-config.key`` → ``some_config.key`` with the inner names as they are."""
    first, dot, inner = name.lstrip("-").partition(".")
    return snake(first) + dot + inner
