# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Combinations of options, sizes and machines that an engine refuses, or is known to fail with: ``data/combinations.yml``.

A condition is a mapping; all of its lines must hold. A line is the name of a fact with what its value must be:

* ``executor: ray``: this value. ``quantization: [fp8, awq]``: one of these.
* ``{above: 1}``, ``{below: 9.0}``, ``{multiple_of: 2}``, ``{not_multiple_of: 2}``: a number. In place of the number the name of a
  fact may stand.
* ``{not: X}``: anything but this value or these. ``{set: true}``: there is a value. ``{contains: X}``: X is a part of the text.
* ``{default: X, ...}``: where nothing is set the value is X, for the other tests of the line.
* ``any: [condition, ...]``: at least one of these conditions.

What is not known (`UNKNOWN`), such as the GPU before a node was asked, fits no line. What is not set (None) fits ``not`` and
``set: false`` only. Everything here is a function from values to values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.versions import Version

KINDS = ("check", "broken")
SEVERITIES = ("refused", "warned")
UNKNOWN: Final = object()
"""The value of a fact that has not been looked up yet."""

Facts = Callable[[str], Any]
"""Name of a fact → its value, None where nothing is set, `UNKNOWN` where it is not known."""


@dataclass(frozen=True)
class Combination:
    """One entry.

    kind: ``check`` for what the engine itself refuses after parsing, ``broken`` for what it accepts and fails with.
    since: the first version that has it, as far as was read; empty for all in the catalog. fixed: the first one without it; empty
    where the end is not known, or there is none. where: the option that is named, of the engine or of `engine_command`.
    """

    id: str
    engine: str
    kind: str
    severity: str
    when: Mapping[str, Any]
    where: str
    consequence: str
    remedy: str
    source: tuple[str, ...]
    since: str = ""
    fixed: str = ""

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Combination:
        """Raises ValueError for an entry that is not one: an unknown key or test, a missing field."""
        name = data.get("id", "an entry without an id")
        if unknown := set(data) - {one.name for one in fields(cls)}:
            raise ValueError(f"{name}: {sorted(unknown)} is no field")
        if data.get("kind") not in KINDS or data.get("severity") not in SEVERITIES:
            raise ValueError(f"{name}: kind is one of {KINDS}, severity one of {SEVERITIES}")
        sources = data.get("source", [])
        try:
            entry = cls(**{**data, "source": tuple([sources] if isinstance(sources, str) else sources)})
        except TypeError as error:
            raise ValueError(f"{name}: {error}") from None
        if not entry.source or not entry.when:
            raise ValueError(f"{name}: a source and a condition are needed")
        _check(name, entry.when)
        return entry

    def covers(self, version: str) -> bool:
        """Whether this version has it."""
        running = Version(version)
        return (not self.since or running >= Version(self.since)) and (not self.fixed or running < Version(self.fixed))

    def holds(self, facts: Facts) -> bool:
        """Whether the condition holds for a launch."""
        return holds(self.when, facts)


def holds(condition: Mapping[str, Any], facts: Facts) -> bool:
    """Whether every line of a condition holds."""
    return all(
        any(holds(one, facts) for one in wanted) if name == ANY else _fits(facts(name), wanted, facts)
        for name, wanted in condition.items()
    )


def names(condition: Mapping[str, Any]) -> set[str]:
    """The facts that a condition asks for."""
    found: set[str] = set()
    for name, wanted in condition.items():
        if name == ANY:
            found |= {inner for one in wanted for inner in names(one)}
        else:
            found.add(name)
            tests = wanted.items() if isinstance(wanted, Mapping) else ()
            found |= {other for test, other in tests if test in _NUMERIC and isinstance(other, str)}
    return found


ANY = "any"


def _fits(value: Any, wanted: Any, facts: Facts) -> bool:
    if value is UNKNOWN:
        return False
    if not isinstance(wanted, Mapping):
        return _is(value, wanted)
    if value is None:
        value = wanted.get("default")
    tests = {name: operand for name, operand in wanted.items() if name != "default"}
    return all(_TESTS[name](value, _operand(name, operand, facts)) for name, operand in tests.items())


def _operand(test: str, operand: Any, facts: Facts) -> Any:
    return facts(operand) if test in _NUMERIC and isinstance(operand, str) else operand


def _is(value: Any, wanted: Any) -> bool:
    """Equal, a boolean only to a boolean; or one of a list."""
    if isinstance(wanted, (list, tuple)):
        return any(_is(value, one) for one in wanted)
    return type(value) is type(wanted) and value == wanted if isinstance(wanted, bool) else value == wanted


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or value is None or value is UNKNOWN:
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _compare(compare: Callable[[float, float], bool]) -> Callable[[Any, Any], bool]:
    def test(value: Any, operand: Any) -> bool:
        left, right = _number(value), _number(operand)
        return left is not None and right is not None and compare(left, right)

    return test


_NUMERIC: Mapping[str, Callable[[Any, Any], bool]] = {
    "above": _compare(lambda value, other: value > other),
    "below": _compare(lambda value, other: value < other),
    "multiple_of": _compare(lambda value, other: other != 0 and value % other == 0),
    "not_multiple_of": _compare(lambda value, other: other != 0 and value % other != 0),
}
_TESTS: Mapping[str, Callable[[Any, Any], bool]] = {
    **_NUMERIC,
    "not": lambda value, other: not _is(value, other),
    "set": lambda value, other: (value is not None) == other,
    "contains": lambda value, other: value is not None and str(other) in str(value),
}


def _check(entry: str, condition: Any) -> None:
    if not isinstance(condition, Mapping) or not condition:
        raise ValueError(f"{entry}: {condition!r} is no condition")
    for name, wanted in condition.items():
        if name == ANY:
            if not isinstance(wanted, list) or not wanted:
                raise ValueError(f"{entry}: any takes a list of conditions")
            for one in wanted:
                _check(entry, one)
        elif isinstance(wanted, Mapping):
            if unknown := set(wanted) - set(_TESTS) - {"default"}:
                raise ValueError(f"{entry}: {sorted(unknown)} is no test")
            if not set(wanted) - {"default"}:
                raise ValueError(f"{entry}: {name} has a default and no test")
