#!/usr/bin/env python3
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The roles' ``meta/argument_specs.yml`` as a page per role and as a JSON schema for group_vars.

    python -m tools.role_options          writes docs/roles/*.md, their list in its README.md, and docs/group_vars.schema.json

An editor that knows YAML schemas completes and checks group_vars with the schema; docs/roles/README.md explains it. A test
compares what is written with what is committed. Ranges of numbers and formats of texts come from ``meta/values.yml``.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT / "collections") not in sys.path:
    sys.path.insert(0, str(ROOT / "collections"))  # where the checkout lies as a collection

from ansible_collections.fullrank.serving.plugins.plugin_utils.values import formats, ranges

SCHEMA = "group_vars.schema.json"
DEPLOYMENT = "role: fullrank.serving.deployment"
BEGIN = "<!-- the list is made by python -m tools.role_options -->"
END = "<!-- end of the list -->"
SHARED = ["It reads the variables of the role [deployment](deployment.md) too.", ""]

# ansible-doc's markup (docs.ansible.com, "Ansible markup"): semantic and formatting macros that show as code
_CODE = re.compile(r"\b(?:C|V|O|E|RV|M|I|B|P)\(([^()]*(?:\([^()]*\)[^()]*)*)\)")
# a value that Ansible computes is a string with an expression in it, whatever the type of the option
_EXPRESSION = {"type": "string", "pattern": r"\{\{.*\}\}|^!vault"}
_TYPES: dict[str, dict[str, Any]] = {
    "str": {"type": ["string", "number", "boolean"]},
    "path": {"type": "string"},
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "bool": {"type": "boolean"},
    "dict": {"type": "object"},
    "list": {"type": "array"},
    "raw": {},
}


# rules that say no more than the description of the option
TRIVIAL = ("controller-path", "email", "line", "network", "texts", "version", "word")


def specifications() -> dict[str, dict[str, Any]]:
    """Role → entry point → its argument specification, in the order of the roles' names."""
    files = sorted((ROOT / "roles").glob("*/meta/argument_specs.yml"))
    return {one.parents[1].name: yaml.safe_load(one.read_text())["argument_specs"] for one in files}


def options(entry_points: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The options of all entry points of a role, each once."""
    return {name: option for one in entry_points.values() for name, option in one.get("options", {}).items()}


def rules() -> dict[str, Any]:
    """Option → its range or format, of all roles."""
    files = sorted((ROOT / "roles").glob("*/meta/values.yml"))
    return {name: rule for one in files for name, rule in yaml.safe_load(one.read_text()).items()}


def text(description: str | list[str]) -> str:
    """A description in Markdown, one paragraph."""
    words = description if isinstance(description, str) else " ".join(description)
    return _CODE.sub(lambda found: f"`{found[1].split('#')[0]}`", words)


def schema(roles: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The JSON schema (draft-07, which editors know best) of one group_vars file: every option, none of them required."""
    known = {name: option for role in roles.values() for name, option in options(role).items()}
    of = rules()
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "group_vars of fullrank.serving",
        "type": "object",
        "properties": {name: _property(option, of.get(name)) for name, option in sorted(known.items())},
    }


def _property(option: Mapping[str, Any], rule: Any = None) -> dict[str, Any]:
    kind = option.get("type", "str")
    found: dict[str, Any] = dict(_TYPES[kind])
    if kind in ("int", "float") and rule:
        found |= {"minimum": ranges.parse(rule).lowest, "maximum": ranges.parse(rule).highest}
    if choices := option.get("choices"):
        found = {"enum": choices}
    if kind == "list":
        found["items"] = _any(
            _property({**option, "type": option.get("elements", "raw"), "choices": None, "description": None}, rule)
        )
    elif nested := option.get("options"):
        inside = rule if isinstance(rule, Mapping) else {}
        found["properties"] = {name: _property(inner, inside.get(name)) for name, inner in nested.items()}
        found["additionalProperties"] = False
        if required := [name for name, inner in nested.items() if inner.get("required")]:
            found["required"] = required
    described = {"description": text(option["description"])} if option.get("description") else {}
    default = {"default": option["default"]} if "default" in option else {}
    return described | default | _any(found)


def _any(found: Mapping[str, Any]) -> dict[str, Any]:
    inner = {key: value for key, value in found.items() if key not in ("description", "default")}
    outer = {key: value for key, value in found.items() if key in ("description", "default")}
    if "anyOf" in inner or not inner or inner.get("type") in ("string", ["string", "number", "boolean"]):
        return {**outer, **inner}
    return {**outer, "anyOf": [inner, _EXPRESSION]}


def page(role: str, entry_points: Mapping[str, Mapping[str, Any]]) -> str:
    """The page of one role: what it is for, its variables, and which of them each of its other entry points reads."""
    first, *others = entry_points
    specification = entry_points[first]
    return "\n".join(
        [
            f"# Role `fullrank.serving.{role}`",
            "",
            "<!-- Made from the role's meta/argument_specs.yml by `python -m tools.role_options`; change it there. -->",
            "",
            f"**{text(specification['short_description'])}**",
            "",
            *(line for one in _paragraphs(specification) for line in (text(one), "")),
            *(SHARED if DEPLOYMENT in (ROOT / "roles" / role / "meta/main.yml").read_text() else []),
            "| variable | type | default | meaning |",
            "|---|---|---|---|",
            *_rows(options(entry_points), rules()),
            "",
            *(_entry_points({name: entry_points[name] for name in others}) if others else []),
        ]
    )


def _paragraphs(specification: Mapping[str, Any]) -> list[str]:
    description = specification.get("description", [])
    return [description] if isinstance(description, str) else list(description)


def _entry_points(others: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    yield from ("## Entry points", "", "| `tasks_from` | | variables |", "|---|---|---|")
    for name, one in others.items():
        meaning = ". ".join(text(part).rstrip(".") for part in (one["short_description"], *_paragraphs(one)))
        yield f"| `{name}` | {meaning}. | {', '.join(f'`{option}`' for option in one.get('options', {}))} |"
    yield ""


def _rows(options: Mapping[str, Mapping[str, Any]], rules: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, option in options.items():
        kind = option.get("type", "str") + (f" of {option['elements']}" if "elements" in option else "")
        default = "required" if option.get("required") else _value(option["default"]) if "default" in option else ""
        meaning = text(option.get("description", ""))
        if choices := option.get("choices"):
            meaning += " One of " + ", ".join(_value(choice) for choice in choices) + "."
        rule = rules.get(name)
        meaning += f" {limits}." if (limits := _limits(rule)) else ""
        yield f"| `{prefix}{name}` | {kind} | {default} | {meaning.replace('|', chr(92) + '|')} |"
        yield from _rows(option.get("options", {}), rule if isinstance(rule, Mapping) else {}, f"{prefix}{name}.")


def _limits(rule: Any) -> str:
    """A rule for people; empty where it has no more to tell than the type."""
    if not isinstance(rule, str) or rule.removesuffix("?") in TRIVIAL:
        return ""
    if ranges.is_range(rule):
        return str(ranges.parse(rule))
    meaning = formats.rule(rule).format.meaning
    words = meaning[0].upper() + meaning[1:] if meaning.split()[0].isalpha() else meaning
    return words + (", or empty" if rule.endswith("?") else "")


def _value(value: Any) -> str:
    return f"`{json.dumps(value) if not isinstance(value, str) else value}`" if value != "" else "empty"


def index(readme: str, roles: Mapping[str, Mapping[str, Any]]) -> str:
    """The text of README.md with the list of the pages between its marks."""
    rows = [
        f"- [{role}]({role}.md): {text(next(iter(one.values()))['short_description'])}" for role, one in roles.items()
    ]
    before, begin, rest = readme.partition(BEGIN)
    _former, end, after = rest.partition(END)
    return "".join([before, begin, "\n", "\n".join(rows), "\n", end, after])


def files() -> dict[Path, str]:
    """Path → text of everything that is made here."""
    roles = specifications()
    readme = ROOT / "docs/roles/README.md"
    pages = {ROOT / "docs/roles" / f"{role}.md": page(role, one) for role, one in roles.items()}
    pages[readme] = index(readme.read_text(), roles)
    return pages | {ROOT / "docs" / SCHEMA: json.dumps(schema(roles), indent=1) + "\n"}


def main() -> None:
    for path, content in files().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)


if __name__ == "__main__":
    main()
