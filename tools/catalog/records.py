# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plain descriptions of parsers → catalog records, and the records of all versions → one catalog file."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from tools.catalog.stubs import MARK

Record = dict[str, Any]
"""The fields of `plugin_utils.catalog.option.Option`, those with their usual value left out."""

# What the engines call their converters, and what one word must be for them. optional_type[x] is x.
TYPES = {
    "str": "str",
    "str.lower": "str",
    "lower": "str",
    "nullable_str": "str",
    "parse_reasoning_parser": "str",
    "union_dict_and_str": "str",
    "<lambda>": "str",  # lists with commas, and names with - for _
    "parse_int_csv": "str",
    "nullable_kvs": "str",
    "parse_cuda_graph_backend_arg": "str",
    "parse_cuda_graph_config_arg": "str",
    "parse[QuantPolicy]": "int|str",
    "int": "int",
    "non_negative_int": "int",
    "float": "float",
    "boolean": "bool",
    "human_readable_int": "human-int",
    "human_readable_int_or_auto": "human-int|auto",
    "loads": "json",
    "parse_type[loads]": "json",
    "json_list_type": "json",
    "parse_dataclass": "json",
    "from_json": "json",
    "from_cli": "json",
}


class UnknownConverterError(Exception):
    """A parser converts words with a function that this file does not know."""


DEPRECATED = re.compile(
    r"^\W*deprecated\b|\[deprecated\]|\bthis (?:option|flag|parameter|argument) is deprecated", re.IGNORECASE
)
INSTEAD = re.compile(r"\b(?:use|set|alias for|replaced by|in favor of)\s+[`'\"]?(--[a-z][a-z0-9-]*)", re.IGNORECASE)


def records(options: Iterable[Mapping[str, Any]]) -> list[Record]:
    """The options of one version as records, by name."""
    rows = list(options)
    names = {spelling: _name(row) for row in rows for spelling in row["spellings"]}
    return sorted((_record(row, names) for row in rows), key=lambda record: str(record["name"]))


def _name(row: Mapping[str, Any]) -> str:
    """The first long spelling; of parallel sizes the one written out, which SGLang put second in 0.5.14."""
    on = [s for s in row["spellings"] if s not in row["off"]]
    long = [s for s in on if s.startswith("--")]
    written_out = [s for s in long if s.endswith("-parallel-size")]
    return [*written_out, *long, *on, str(row["dest"])][0]


def _record(row: Mapping[str, Any], names: Mapping[str, str]) -> Record:
    name, kind = _name(row), _kind(row)
    has_value = kind not in ("flag", "switch")
    usual_off = ["--no-" + name.removeprefix("--")] if kind == "switch" else []
    usual_spellings = [] if kind == "positional" else [name, *usual_off]
    choices = _choices(row["choices"])
    if row["type"] == "bool":
        choices = [True]  # Python's bool takes every word for true, "false" too
    deprecated = _deprecated(row, name)
    record = {
        "name": name,
        "kind": kind,
        "type": _type(row) if has_value else "",
        "spellings": [] if row["spellings"] == usual_spellings else row["spellings"],
        "off": [] if row["off"] == usual_off else row["off"],
        "dest": "" if row["dest"] == name.lstrip("-").replace("-", "_") else row["dest"],
        "choices": choices,
        "nargs": str(row["nargs"] or "") if has_value else "",
        "default": _default(row),
        "deprecated": deprecated,
        "successor": _successor(row, name, names) if deprecated else "",
    }
    usual: Record = {"kind": "value", "type": "json" if kind == "json" else "str"}
    if kind == "flag":
        usual["default"] = False
    return {key: value for key, value in record.items() if value != usual.get(key) and value not in ("", [], None)}


def _type(row: Mapping[str, Any]) -> str:
    wrapped = re.fullmatch(r"optional_type\[(.*)\]", row["type"])
    name = wrapped[1] if wrapped else row["type"]
    if row["action"] == "StoreBoolean" or name == "bool":
        return "bool"
    for known in (name, name.partition("[")[0]):
        if known in TYPES:
            return TYPES[known]
    raise UnknownConverterError(f"{row['spellings']}: what does {row['type']} accept? Add it to TYPES in {__file__}")


def _kind(row: Mapping[str, Any]) -> str:
    if not row["spellings"]:
        return "positional"
    if row["off"]:
        return "switch"
    if row["nargs"] == 0:
        return "flag"
    if row["action"] == "Append":
        return "repeat"
    if row["nargs"] not in (None, "?"):
        return "list"
    return "json" if _type(row) == "json" else "value"


def _default(row: Mapping[str, Any]) -> Any:
    """The default, unless it is an object of the engine's own or computed at run time by what is stubbed."""
    default = row["default"]
    return None if isinstance(default, str) and (default.startswith("<") or MARK.search(default)) else default


def _choices(listed: Iterable[Any] | None) -> list[Any]:
    """The choices in a fixed order (some parsers make them from a set); none where compiled code alone knows them."""
    choices = [choice for choice in listed or [] if choice is not None]
    if any(MARK.search(str(choice)) for choice in choices):
        return []
    return sorted(choices, key=lambda choice: (type(choice).__name__, choice))


def _deprecated(row: Mapping[str, Any], name: str) -> str:
    if row["fatal"]:
        return "fatal"
    itself = rf"(?:{name}|{name.lstrip('-').replace('-', '_')})\W+(?:is|was|has been)\s+deprecated"
    deprecated = DEPRECATED.search(row["help"]) or re.search(itself, row["help"], re.IGNORECASE)
    return "warn" if row["marked"] or deprecated else ""


def _successor(row: Mapping[str, Any], name: str, names: Mapping[str, str]) -> str:
    hints = [str(row["new_flag"] or ""), *INSTEAD.findall(row["help"])]
    return next((names[hint] for hint in hints if names.get(hint, name) != name), "")


def catalog_text(
    header: Mapping[str, Any], by_version: Mapping[str, list[Record]], migrations: Mapping[str, Any]
) -> str:
    """The catalog file: equal records of neighbouring versions are one line with since (and until, unless it lasts)."""
    lines = [json.dumps(run, ensure_ascii=False) for run in _runs(by_version)]
    moved = [f"{json.dumps(old)}: {json.dumps(new, ensure_ascii=False)}" for old, new in sorted(migrations.items())]
    head = {**header, "versions": list(by_version)}
    top = [f"{json.dumps(key)}: {json.dumps(value)}," for key, value in head.items()]
    options = ['"options": [', ",\n".join(lines), "],"]
    return "\n".join(["{" + top[0], *top[1:], *options, '"migrations": {', ",\n".join(moved), "}}"]) + "\n"


def _runs(by_version: Mapping[str, list[Record]]) -> list[Record]:
    versions = list(by_version)
    open_runs: dict[str, Record] = {}
    runs: list[Record] = []
    for version in versions:
        current = {record["name"]: record for record in by_version[version]}
        ended = [name for name, run in open_runs.items() if current.get(name) != _without_range(run)]
        runs += [open_runs.pop(name) for name in ended]
        for name, record in current.items():
            open_runs.setdefault(name, {**record, "since": version})
            open_runs[name]["until"] = version
    runs += open_runs.values()
    order = {version: n for n, version in enumerate(versions)}
    runs.sort(key=lambda run: (run["name"], order[run["since"]]))
    return [run if run["until"] != versions[-1] else {k: v for k, v in run.items() if k != "until"} for run in runs]


def _without_range(run: Record) -> Record:
    return {key: value for key, value in run.items() if key not in ("since", "until")}


def versions_of(data: Mapping[str, Any]) -> dict[str, list[Record]]:
    """The inverse: version → records, from the content of a catalog file."""
    versions = data["versions"]
    order = {version: n for n, version in enumerate(versions)}
    by_version: dict[str, list[Record]] = {version: [] for version in versions}
    for run in data["options"]:
        for version in versions[order[run["since"]] : order[run.get("until", versions[-1])] + 1]:
            by_version[version].append(_without_range(run))
    return by_version
