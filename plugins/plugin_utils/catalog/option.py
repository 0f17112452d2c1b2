# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One option of an engine's command line: which values it takes, and how a value is written on the command line."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

POSITIVE = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
HUMAN_INT = re.compile(r"\d+(\.\d+)?[kKmMgGtT]i?")
NEGATIVE_NUMBER = re.compile(r"-\d+$|-\d*\.\d+$")  # what argparse takes for a value although it begins with a dash


@dataclass(frozen=True)
class Option:
    """One option in one engine version.

    name: the canonical spelling: the first long one of the engine's own parser, of parallel sizes the one written out
      (``--tensor-parallel-size``); for a positional argument its name without dashes.
    spellings: every spelling that version accepts, short ones and those that turn a switch off included.
    off: of these the ones that turn a switch off, the one to write first (``--no-x``; vLLM also has ``--disable-x``).
    dest: the attribute the engine's parser stores it under.
    kind: ``flag`` (present or absent), ``switch`` (a spelling for on and one for off), ``value`` (one word), ``list``
      (several words after one spelling), ``repeat`` (the option is written once per item; with nargs, an item is several
      words), ``json`` (one word that the engine's parser reads as JSON), ``positional``.
    type: what one word must be: ``str``, ``int``, ``float``, ``bool`` (true/false as a word), ``json``, ``human-int``
      (an integer, or 1k = 1000, 1K = 1024), ``auto`` (that word); alternatives are joined with ``|`` and tried in that order.
    choices: the allowed values, empty when the parser does not restrict them.
    nargs: argparse's, as text: ``?``, ``*``, ``+``, a number, or empty for exactly one word.
    default: the parser's default as JSON data; None also when it is computed at run time.
    deprecated: empty, ``warn`` (still works) or ``fatal`` (the parser knows it and refuses to start).
    successor: the canonical name of what replaces it, empty when nothing does or it is not deprecated.
    """

    name: str
    spellings: tuple[str, ...] = ()
    off: tuple[str, ...] = ()
    dest: str = ""
    kind: str = "value"
    type: str = "str"
    choices: tuple[Any, ...] = ()
    nargs: str = ""
    default: Any = None
    deprecated: str = ""
    successor: str = ""

    @property
    def key(self) -> str:
        """The canonical name as people write it in YAML: ``tensor_parallel_size``. Unique within a version."""
        return snake(self.name)


def snake(name: str) -> str:
    """``--tensor-parallel-size`` → ``tensor_parallel_size``."""
    return name.lstrip("-").replace("-", "_")


def kebab(name: str) -> str:
    """``tensor_parallel_size`` → ``--tensor-parallel-size``; a single letter gets one dash: ``O`` → ``-O``."""
    bare = name.lstrip("-").replace("_", "-")
    return name if name.startswith("-") and not name.startswith("--") else ("-" if len(bare) == 1 else "--") + bare


def read_word(types: str, value: Any) -> Any:
    """Read one word as the first of the types it fits.

    Takes what YAML, Jinja or a command line gives (``8`` and ``"8"`` are the same integer). Raises ValueError when it
    fits none.
    """
    for kind in types.split("|"):
        try:
            return _READERS[kind](value)
        except (ValueError, TypeError):
            continue
    raise ValueError(f"{value!r} is not {types.replace('|', ' or ')}")


def _read_int(value: Any) -> int:
    if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
        raise ValueError(value)
    return int(value)


def _read_float(value: Any) -> float:
    if isinstance(value, bool):
        raise ValueError(value)
    return float(value)


def _read_str(value: Any) -> str:
    # A mapping or list can only be meant as JSON that the engine reads later; a YAML boolean is not what anybody means
    # by text ("on", "no").
    if isinstance(value, bool):
        raise ValueError(value)
    return compact(value) if isinstance(value, (Mapping, list, tuple)) else str(value)


def _read_bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in POSITIVE:
        return POSITIVE[value.lower()]
    raise ValueError(value)


def negated(value: Any) -> Any:
    """The opposite of a boolean, in whatever form it was written; anything else as it is, for `read_value` to refuse."""
    try:
        return not _read_bool(value)
    except ValueError:
        return value


def _read_json(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else json.loads(compact(value))


def _read_human_int(value: Any) -> int | str:
    return value if isinstance(value, str) and HUMAN_INT.fullmatch(value) else _read_int(value)


def _read_auto(value: Any) -> str:
    if str(value).lower() != "auto":
        raise ValueError(value)
    return "auto"


_READERS = {
    "str": _read_str,
    "int": _read_int,
    "float": _read_float,
    "bool": _read_bool,
    "json": _read_json,
    "human-int": _read_human_int,
    "auto": _read_auto,
}


def _read_chosen(option: Option, value: Any) -> Any:
    word = read_word(option.type, value)
    if option.choices and word not in option.choices:
        raise ValueError(f"{value!r} is none of its choices")
    return word


def read_value(option: Option, value: Any) -> Any:
    """Bring a value into the option's own form; None means: leave the option out.

    Flags: True, or None for false. Switches: True or False. Lists and repeated options: a list, also from a single
    value; a list of lists where each item is several words. JSON: the data.
    Raises ValueError whose text tells what is wrong.
    """
    if value is None:
        return None
    if option.kind in ("flag", "switch"):
        try:
            on = _read_bool(value)
        except ValueError:
            raise ValueError(f"{value!r} is not true or false") from None
        return on if on or option.kind == "switch" else None
    if option.kind == "list":
        return _read_words(option, value)
    if option.kind == "repeat":
        return [_read_words(option, item) if option.nargs else _read_chosen(option, item) for item in _listed(value)]
    if option.nargs == "?" and value is True and "bool" not in option.type:
        return True
    return _read_chosen(option, value)


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _read_words(option: Option, value: Any) -> list[Any]:
    items = [_read_chosen(option, item) for item in _listed(value)]
    if option.nargs.isdigit() and len(items) != int(option.nargs):
        raise ValueError(f"{len(items)} values given, it takes {option.nargs}")
    if option.nargs == "+" and not items:
        raise ValueError("an empty list given, it takes one value or more")
    for word in map(text, items):
        if len(items) > 1 and word.startswith("-") and not NEGATIVE_NUMBER.match(word):
            raise ValueError(f"{word!r} begins with a dash: no command line can carry it in a list")
    return items


def compact(value: Any) -> str:
    """JSON without spaces, keys in their order."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, default=list)


def text(value: Any) -> str:
    """One value as one word of a command line."""
    if isinstance(value, (bool, Mapping, list, tuple)) or value is None:
        return compact(value)
    return str(value)


def to_argv(options: Iterable[tuple[Option, Any]]) -> list[str]:
    """Write options with their values (as `read_value` returns them) as words of a command line, positional ones first.

    A value that begins with a dash is joined to its option (``--seed=-1``): the parser would take it for an option.
    """
    pairs = [(option, value) for option, value in options if value is not None]
    positional = [text(value) for option, value in pairs if option.kind == "positional"]
    return positional + [word for pair in pairs if pair[0].kind != "positional" for word in _words(*pair)]


def _words(option: Option, value: Any) -> list[str]:
    if option.kind in ("flag", "switch"):
        return [option.name if value else option.off[0]]
    if option.nargs == "?" and value is True and "bool" not in option.type:
        return [option.name]
    if option.kind == "repeat":
        return [word for item in value for word in _spelled(option, item if option.nargs else [item])]
    return _spelled(option, value if option.kind == "list" else [value])


def _spelled(option: Option, values: list[Any]) -> list[str]:
    spelled = [compact(value) if option.type == "json" else text(value) for value in values]
    joined = len(spelled) == 1 and spelled[0].startswith("-")
    return [f"{option.name}={spelled[0]}"] if joined else [option.name, *spelled]


def argument_parser(options: Iterable[Option]) -> argparse.ArgumentParser:
    """Build a parser that accepts what the engine's parser accepts and returns values as `read_value` does.

    Values are stored under `Option.key`; options that are not on the command line are absent. Abbreviations are not accepted.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, argument_default=argparse.SUPPRESS)
    for option in options:
        _add(parser, option)
    return parser


def _add(parser: argparse.ArgumentParser, option: Option) -> None:
    if option.kind in ("flag", "switch"):
        on = [spelling for spelling in option.spellings if spelling not in option.off]
        parser.add_argument(*on, dest=option.key, action="store_true")
        if option.off:
            parser.add_argument(*option.off, dest=option.key, action="store_false")
        return

    def word(spelled: str) -> Any:
        return _read_chosen(option, spelled)

    more: dict[str, Any] = {"type": word}
    if option.nargs:
        more["nargs"] = int(option.nargs) if option.nargs.isdigit() else option.nargs
    if option.nargs == "?" and option.kind != "positional":
        more["const"] = True
    if option.kind == "repeat":
        more["action"] = "append"
    if option.kind == "positional":
        parser.add_argument(option.key, **more)
    else:
        parser.add_argument(*option.spellings, dest=option.key, **more)
