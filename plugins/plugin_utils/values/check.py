# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A variable's value against its option and its rule: type, choices, range, format, what is inside. Pure; private.

Playbooks hand variables to tasks as they were set. So a value must have its type, and not merely be convertible into it: a
condition refuses the text ``"no"``. Numbers in digits are the exception, since ``-e name=8000`` gives them; expressions of the
roles convert them.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.fullrank.serving.plugins.plugin_utils.values import formats, ranges
from ansible_collections.fullrank.serving.plugins.plugin_utils.values.addresses import Names

Rules = Mapping[str, Any]
"""Option → the text of its range or format; a mapping for those inside it. An element of a list has the rule of the list."""

NUMBERS = {"int": int, "float": float}
UNQUOTED = ("version", "beginning", "three-numbers")
"""Formats in which a number with a point is no version any more: 0.10 is 0.1."""
TEXTS = "texts"
"""The rule of a mapping whose values are texts."""
LONGEST = 50
"""Characters of a value in a message."""

YES_NO = {"yes": True, "true": True, "on": True, "no": False, "false": False, "off": False}


@dataclass(frozen=True)
class Mistake:
    """What is wrong with a value. steps: the way to it inside the variable. instead: data that is accepted there."""

    code: str
    steps: tuple[str | int, ...]
    message: str
    remedy: str
    instead: list[Any] = field(default_factory=list)
    """One value, or none where it cannot be known."""


@dataclass(frozen=True)
class Expected:
    """What a value is checked against. names: see `addresses.Names`."""

    option: Mapping[str, Any]
    rule: Any = None
    names: Names = frozenset()

    @property
    def secret(self) -> bool:
        return bool(self.option.get("no_log"))


def shown(value: Any) -> str:
    """A value in a message: texts in quotes where they could be misread, long ones cut; passwords in URLs never.

    >>> [shown(one) for one in (99999, True, "a b", "0.0.0.0", "https://me:pw@host/", {})]
    ['99999', 'true', "'a b'", '0.0.0.0', 'https://***@host/', '{}']
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    text = re.sub(r"//[^/@\s]+@", "//***@", str(value))
    text = repr(text) if isinstance(value, str) and not re.fullmatch(r"[\w./:@+*\[\]-]+", text) else text
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def name_of(variable: str, steps: Sequence[str | int]) -> str:
    """A place inside a variable.

    >>> name_of("engine_mounts", [0, "source"])
    'engine_mounts[0].source'
    """
    return variable + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)


def check(value: Any, expected: Expected, steps: tuple[str | int, ...] = ()) -> Iterator[Mistake]:
    """All that is wrong with a value, from outside to inside."""
    kind = expected.option.get("type", "str")
    if value is None:
        yield Mistake("value-empty", steps, "is empty", "give it a value, or remove the line", _default(expected))
    elif kind == "list":
        yield from _list(value, expected, steps)
    elif kind == "dict":
        yield from _dict(value, expected, steps)
    elif kind == "raw" and expected.rule and isinstance(value, (list, tuple)):
        yield from _list(value, Expected({"elements": "str"}, expected.rule, expected.names), steps)
    elif kind == "raw" and expected.rule:
        yield from _scalar(value, expected, steps, "str")
    elif kind != "raw":
        yield from _scalar(value, expected, steps, kind)


def _default(expected: Expected) -> list[Any]:
    found = expected.option.get("default")
    return [] if found is None else [found]


def _as_text(value: Any, expected: Expected) -> str:
    return "its value (not shown)" if expected.secret else shown(value)


def _list(value: Any, expected: Expected, steps: tuple[str | int, ...]) -> Iterator[Mistake]:
    if not isinstance(value, (list, tuple)):
        item = [value] if isinstance(value, (str, int, float)) and not isinstance(value, bool) else []
        parts = [part.strip() for part in value.split(",")] if isinstance(value, str) else item
        message = f"{_as_text(value, expected)} is no list"
        yield Mistake(
            "value-type", steps, message, _as_list(parts, expected), [parts] if parts and not expected.secret else []
        )
        return
    inner = {key: one for key, one in expected.option.items() if key in ("choices", "no_log", "options")}
    inner["type"] = expected.option.get("elements", "raw")
    for number, one in enumerate(value):
        yield from check(one, Expected(inner, expected.rule, expected.names), (*steps, number))


def _as_list(parts: Sequence[Any], expected: Expected) -> str:
    if not parts or expected.secret:
        return "write [...]"
    return f"write [{', '.join(map(shown, parts))}]"[: LONGEST * 2]


def _dict(value: Any, expected: Expected, steps: tuple[str | int, ...]) -> Iterator[Mistake]:
    if not isinstance(value, Mapping):
        yield Mistake(
            "value-type", steps, f"{_as_text(value, expected)} is no mapping", "write name: value below it, or {}"
        )
        return
    options = expected.option.get("options")
    rules: Rules = expected.rule if isinstance(expected.rule, Mapping) else {}
    if options is not None:
        for name in value:
            if name not in options:
                yield _unknown(str(name), list(options), steps)
        for name, option in options.items():
            if option.get("required") and value.get(name) is None:
                message = "is missing"
                yield Mistake("value-missing", (*steps, name), message, "write it", [])
    for name, one in value.items():
        here = (*steps, str(name))
        if options is not None and name in options:
            if one is not None or not options[name].get("required"):
                yield from check(one, Expected(options[name], rules.get(name), expected.names), here)
        elif options is None and name in rules:
            yield from check(one, Expected({"type": _kind(rules[name])}, rules[name], expected.names), here)
        elif options is None and rules:
            if near := nearest(str(name), list(rules)):
                yield Mistake("value-unknown", here, "is nothing that is read", f"write {near}")
        elif expected.rule == TEXTS and not isinstance(one, str):
            text = ("true" if one else "false") if isinstance(one, bool) else str(one)
            yield Mistake("value-type", here, f"{shown(one)} is no text", f'write "{text}", in quotes', [text])


def _kind(rule: Any) -> str:
    """The type of an entry that no specification describes, by its rule."""
    if not ranges.is_range(str(rule)):
        return "str"
    return "float" if isinstance(rule, str) and ranges.is_range(rule) and "." in rule.replace("..", "") else "int"


def _unknown(name: str, options: Sequence[str], steps: tuple[str | int, ...]) -> Mistake:
    near = nearest(name, options)
    remedy = f"write {near}" if near else f"there is {', '.join(options)}"
    return Mistake("value-unknown", (*steps, name), "is nothing that is read", remedy)


def nearest(name: str, known: Sequence[str]) -> str:
    """The known name that is almost this one; empty where none is."""
    return next(iter(difflib.get_close_matches(name, list(known), n=1, cutoff=0.75)), "")


def _scalar(value: Any, expected: Expected, steps: tuple[str | int, ...], kind: str) -> Iterator[Mistake]:
    seen, choices = _as_text(value, expected), expected.option.get("choices")
    if isinstance(value, (Mapping, list, tuple)):
        remedy = {"bool": "write true or false", "str": "write one text"}.get(kind, "write one value")
        yield Mistake("value-type", steps, f"{seen} is a list or a mapping", remedy, _default(expected))
        return
    if kind == "bool":
        yield from _bool(value, seen, steps)
        return
    if choices:
        if str(value) not in map(str, choices) or isinstance(value, bool):
            yield _choice(value, seen, list(choices), steps)
        return
    if kind in NUMBERS:
        yield from _number(value, seen, expected, steps, kind)
    else:
        yield from _text(value, seen, expected, steps)


def _bool(value: Any, seen: str, steps: tuple[str | int, ...]) -> Iterator[Mistake]:
    if isinstance(value, bool):
        return
    meant = YES_NO.get(str(value).strip().lower(), bool(value) if value in (0, 1) else None)
    if meant is None:
        yield Mistake("value-type", steps, f"{seen} is neither true nor false", "write true or false")
        return
    word = "true" if meant else "false"
    remedy = f"write {word} without quotes ({meant!s} in an INI file, -e '{{\"...\": {word}}}' on the command line)"
    kind = f"'{value}' is a text" if isinstance(value, str) else f"{seen} is a number"
    yield Mistake("value-type", steps, f"{kind}, not true or false", remedy, [meant])


def _choice(value: Any, seen: str, choices: list[Any], steps: tuple[str | int, ...]) -> Mistake:
    words = [str(one) for one in choices]
    if isinstance(value, bool) and ("on" if value else "off") in words:
        word = "on" if value else "off"
        return Mistake("value-choice", steps, f"{seen} is no text", f'write "{word}", in quotes', [word])
    near = "" if isinstance(value, bool) else nearest(str(value).lower(), words)
    hint = f"write {near}" if near and len(words) > 6 else f"write {either(words)}"
    return Mistake("value-choice", steps, f"{seen} is none of them", hint, [near or words[0]])


def either(words: Sequence[str]) -> str:
    """Words to choose from.

    >>> either(["a", "b", "c"])
    'a, b or c'
    """
    first, last = ", ".join(words[:-1]), words[-1]
    return f"{first} or {last}" if first else last


def _number(value: Any, seen: str, expected: Expected, steps: tuple[str | int, ...], kind: str) -> Iterator[Mistake]:
    limits = ranges.parse(expected.rule) if isinstance(expected.rule, str) and ranges.is_range(expected.rule) else None
    wanted = "a whole number" if kind == "int" else "a number"
    remedy = f"write {wanted}" + (f", {limits}" if limits else "")
    number = _read(value, kind)
    if number is None:
        instead = _default(expected) or ([limits.lowest] if limits else [])
        yield Mistake("value-type", steps, f"{seen} is not {wanted}", remedy, instead)
    elif limits and not limits.holds(number):
        nearest_one = limits.nearest(number)
        instead = [int(nearest_one) if kind == "int" else nearest_one]
        yield Mistake("value-range", steps, f"{seen} is out of range", f"write {limits}", instead)


def _read(value: Any, kind: str) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        whole = kind != "int" or float(value).is_integer() if math.isfinite(value) else False
        return value if whole else None
    pattern = r"[+-]?\d+" if kind == "int" else r"[+-]?\d+(\.\d+)?"
    return float(value) if re.fullmatch(pattern, str(value)) else None


def _text(value: Any, seen: str, expected: Expected, steps: tuple[str | int, ...]) -> Iterator[Mistake]:
    name = expected.rule if isinstance(expected.rule, str) else "line"
    rule = formats.rule(name)
    bare = name.removesuffix("?")
    if isinstance(value, bool):
        message = f"{seen} is no text"
        yield Mistake(
            "value-type", steps, message, "put it in quotes: YAML reads yes, no, on and off as true and false"
        )
        return
    if isinstance(value, float) and bare in UNQUOTED:
        message = f"{seen} is a number, and YAML drops zeros at the end of one"
        yield Mistake("value-type", steps, message, 'put the version in quotes, such as "0.10"', [str(value)])
        return
    text = str(value)
    if not text:
        if not (rule.may_be_empty or name == "line" or expected.option.get("default") == ""):
            remedy = f"write {rule.format.meaning}, or remove the line"
            yield Mistake("value-empty", steps, "is empty", remedy, _default(expected) or [rule.format.example])
        return
    if wrong := rule.format.check(text, expected.names):
        message = f"{seen} {wrong.message}" if not expected.secret else f"it {wrong.message}"
        instead = [] if wrong.instead is None or expected.secret else [wrong.instead]
        yield Mistake("value-format", steps, message, wrong.remedy, instead)
