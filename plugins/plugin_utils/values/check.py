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

from ansible_collections.fullrank.serving.plugins.plugin_utils.values import formats, ranges, secret_values
from ansible_collections.fullrank.serving.plugins.plugin_utils.values.addresses import Names

Rules = Mapping[str, Any]
"""Option → the text of its range or format; a mapping for those inside it. An element of a list has the rule of the list."""

NUMBERS = {"int": int, "float": float}
UNQUOTED = ("version", "beginning", "three-numbers")
"""Formats in which a number with a point is no version any more: 0.10 is 0.1."""
KEYS = ("key", "password")
"""Formats of secrets, whose remedies do not depend on the value; a number may come in another spelling than it was written."""
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
    """What a value is checked against. names: see `addresses.Names`. secret: whether its name shows that it holds a secret."""

    option: Mapping[str, Any]
    rule: Any = None
    names: Names = frozenset()
    secret: bool = False

    def inside(self, name: str, option: Mapping[str, Any], rule: Any) -> Expected:
        """What an entry of this name is checked against."""
        secret = self.secret or bool(option.get("no_log")) or secret_values.secret_name(name)
        return Expected(option, rule, self.names, secret)


def shown(value: Any) -> str:
    """A value in a message: texts in quotes where they could be misread, long ones cut; what may hold a secret is not shown.

    >>> [shown(one) for one in (99999, True, "a b", "0.0.0.0", "https://me:pw@host/", "me:pw@host", {})]
    ['99999', 'true', "'a b'", '0.0.0.0', 'https://***@host/', 'its value (not shown)', '{}']
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    if secret_values.looks_secret(text):
        text = secret_values.masked(text) or ""
        if not text:
            return secret_values.HIDDEN
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
    return secret_values.HIDDEN if _is_hidden(value, expected) else shown(value)


def _is_hidden(value: Any, expected: Expected) -> bool:
    """Whether a value is not shown, and what is offered in its place must not be made of it."""
    if expected.secret or expected.option.get("no_log"):
        return True
    whole = expected.option.get("type") in ("list", "dict") or isinstance(value, (Mapping, list, tuple))
    return (whole and secret_values.secret_option(expected.option)) or shown(value) == secret_values.HIDDEN


def _list(value: Any, expected: Expected, steps: tuple[str | int, ...]) -> Iterator[Mistake]:
    if not isinstance(value, (list, tuple)):
        item = [value] if isinstance(value, (str, int, float)) and not isinstance(value, bool) else []
        parts = [part.strip() for part in value.split(",")] if isinstance(value, str) else item
        message = f"{_as_text(value, expected)} is no list"
        hidden = _is_hidden(value, expected)
        yield Mistake(
            "value-type", steps, message, _as_list([] if hidden else parts), [parts] if parts and not hidden else []
        )
        return
    inner = {key: one for key, one in expected.option.items() if key in ("choices", "no_log", "options")}
    inner["type"] = expected.option.get("elements", "raw")
    for number, one in enumerate(value):
        yield from check(one, Expected(inner, expected.rule, expected.names, expected.secret), (*steps, number))


def _as_list(parts: Sequence[Any]) -> str:
    if not parts:
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
        for number, name in enumerate(value):
            if name not in options:
                yield _unknown(str(name), number, list(options), steps)
        for name, option in options.items():
            if option.get("required") and value.get(name) is None:
                message = "is missing"
                yield Mistake("value-missing", (*steps, name), message, "write it", [])
    for number, (name, one) in enumerate(value.items()):
        here = (*steps, _step(name, number))
        if options is not None and name in options:
            if one is not None or not options[name].get("required"):
                yield from check(one, expected.inside(str(name), options[name], rules.get(name)), here)
        elif options is None and name in rules:
            yield from check(one, expected.inside(str(name), {"type": _kind(rules[name])}, rules[name]), here)
        elif options is None and rules:
            if near := nearest(str(name), list(rules)):
                yield Mistake("value-unknown", here, "is nothing that is read", f"write {near}")
        elif expected.rule == TEXTS and not isinstance(one, str):
            yield _no_text(one, expected.inside(str(name), {}, None), here)


def _step(name: Any, number: int) -> str:
    """How a message names an entry: a name that could be a secret, as where name and value were swapped, by its number."""
    text = str(name)
    fine = len(text) <= LONGEST and re.fullmatch(r"[\w. /:+-]+", text) and not secret_values.looks_secret(text)
    return text if fine else f"(entry {number + 1})"


def _no_text(value: Any, expected: Expected, steps: tuple[str | int, ...]) -> Mistake:
    """The entry of a mapping of texts that is none."""
    text = ("true" if value else "false") if isinstance(value, bool) else str(value)
    hidden = isinstance(value, (Mapping, list, tuple)) or (_is_hidden(value, expected) and not isinstance(value, bool))
    if hidden:
        return Mistake("value-type", steps, f"{secret_values.HIDDEN} is no text", "put it in quotes")
    return Mistake("value-type", steps, f"{shown(value)} is no text", f'write "{text}", in quotes', [text])


def _kind(rule: Any) -> str:
    """The type of an entry that no specification describes, by its rule."""
    if not ranges.is_range(str(rule)):
        return "str"
    return "float" if isinstance(rule, str) and ranges.is_range(rule) and "." in rule.replace("..", "") else "int"


def _unknown(name: str, number: int, options: Sequence[str], steps: tuple[str | int, ...]) -> Mistake:
    near = nearest(name, options)
    remedy = f"write {near}" if near else f"there is {', '.join(options)}"
    return Mistake("value-unknown", (*steps, _step(name, number)), "is nothing that is read", remedy)


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
    if isinstance(value, (int, float)) and bare in KEYS:
        message = f"{seen} is a number, which YAML may write in another way"
        yield Mistake("value-type", steps, message, "put it in quotes")
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
        hidden = _is_hidden(value, expected)
        message = f"it {wrong.message}" if hidden else f"{seen} {wrong.message}"
        offered = wrong.instead is not None and not secret_values.looks_secret(str(wrong.instead))
        # what is to be written is made of the value; of keys and passwords it never is
        trusted = bare in KEYS or (not hidden and (offered or not secret_values.looks_secret(text)))
        remedy = wrong.remedy if trusted else f"write {rule.format.meaning}"
        yield Mistake(
            "value-format", steps, message, remedy, [wrong.instead] if trusted and offered and not hidden else []
        )
