# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options with dots in their names: parts of an option that takes JSON. Pure.

``speculative_config.method: mtp`` is ``speculative_config: {method: mtp}``, as vLLM documents (FlexibleArgumentParser in
vllm/utils/argparse_utils.py, 0.9.0 to 0.33.0): every part counts, text that reads as JSON is that JSON, a ``+`` at the end
appends to a list. The engine lets the later of two values win, with a line in its log; here that is a mistake.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import Finding, failed
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.option import Option, kebab, snake

OF_COMPILATION = "compilation_config"
"""What ``-O.`` began with, from 0.10 to 0.12; before and after ``-O`` alone is another option."""

_DOTTED = re.compile(r"-{0,2}[A-Za-z][A-Za-z0-9_-]*(\.[^.\s=]+)+")
_HUMAN = re.compile(r"(\d+(?:\.\d+)?)([kmgtKMGT])")
_POWERS = "kmgt"


@dataclass
class _Whole:
    """What is written of one option: in one piece, and in parts."""

    written: str
    """The spelling of the option that was found first."""
    pieces: list[tuple[str, Any]] = field(default_factory=list)
    """As written → value of the whole option."""
    dotted: bool = False


def is_dotted(name: str) -> bool:
    """Whether a name has dots as parts of an option have them."""
    return bool(_DOTTED.fullmatch(name))


def merged(
    args: Mapping[str, Any], lookup: Callable[[str], Option | None], where: str
) -> tuple[dict[str, Any], list[Finding]]:
    """The options with every dotted one put into the option that it is a part of, and what cannot be put together.

    Options without dots stay as they are, in their order, unless parts of them are written apart.
    """
    names = [str(name) for name in args]
    if not any(map(is_dotted, names)):
        return {str(name): value for name, value in args.items()}, []
    wholes: dict[str, _Whole] = {}
    for name, value in args.items():
        written = str(name)
        if value is None:
            continue
        base, *path = written.split(".") if is_dotted(written) else [written]
        if path and snake(base) == "O":
            base = OF_COMPILATION
        option = lookup(base)
        whole = wholes.setdefault(option.name if option else kebab(base), _Whole(base))
        whole.pieces.append((written, _nested(path, value) if path else value))
        whole.dotted |= bool(path)
    together: dict[str, Any] = {}
    findings: list[Finding] = []
    for whole in wholes.values():
        if not whole.dotted:
            together |= dict(whole.pieces)  # two spellings of one option are for the caller to see
            continue
        value, wrong = _together(whole, where)
        together[whole.written] = value
        findings += wrong
    return together, findings


def _nested(path: list[str], value: Any) -> Any:
    appends = path[-1].endswith("+")
    read = _read(value, appends)
    for key in reversed([*path[:-1], path[-1].removesuffix("+")]):
        read = {key: read}
    return read


def _read(value: Any, appends: bool) -> Any:
    """A value as the engine reads the text of it; what YAML gave another type stays."""
    if appends:
        return list(value) if isinstance(value, (list, tuple)) else str(value).split(",")
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        human = _HUMAN.fullmatch(value)
    if not human:
        return value
    base = 1000 if human[2].islower() else 1024
    return int(float(human[1]) * base ** (_POWERS.index(human[2].lower()) + 1))


def _together(whole: _Whole, where: str) -> tuple[Any, list[Finding]]:
    sum_of = _Sum(where)
    for written, piece in whole.pieces:
        read = _read(piece, appends=False)
        if isinstance(read, Mapping):
            sum_of.add(sum_of.value, read, (), written)
            continue
        message = f"{whole.written} is set as a whole by {written} and in parts besides"
        remedy = "write a mapping, or its parts"
        sum_of.findings.append(failed("option-set-twice", f"{where}.{written}", message, remedy))
    return sum_of.value, sum_of.findings


@dataclass
class _Sum:
    """Mappings put into one."""

    where: str
    value: dict[str, Any] = field(default_factory=dict)
    set_by: dict[tuple[str, ...], str] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def add(self, into: dict[str, Any], more: Mapping[str, Any], path: tuple[str, ...], written: str) -> None:
        """Put ``more`` into a part of the value; written: the option that it comes from."""
        for name, value in more.items():
            key, here = str(name), (*path, str(name))
            there = into.get(key)
            if isinstance(value, Mapping) and (there is None or isinstance(there, dict)):
                self.add(into.setdefault(key, {}), value, here, written)
            elif isinstance(value, list) and isinstance(there, list):
                there += value
            elif key not in into:
                into[key] = list(value) if isinstance(value, list) else value
                self.set_by[here] = written
            elif there != value:
                other = next((by for at, by in self.set_by.items() if at[: len(here)] == here), "another")
                message = f"{'.'.join(here)} is set twice: by {other} and by {written}"
                place = f"{self.where}.{written}"
                self.findings.append(failed("option-set-twice", place, message, "leave one of them out"))
