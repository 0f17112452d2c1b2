# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes docs/combinations.md from the table of combinations: ``python -m tools.combinations``. A test compares."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

CHECKOUT = Path(__file__).resolve().parents[1]
TABLE = CHECKOUT / "plugins/plugin_utils/data/combinations.yml"
PAGE = CHECKOUT / "docs/combinations.md"

_HEAD = """\
# Combinations that do not work

Made from `plugins/plugin_utils/data/combinations.yml` by `python -m tools.combinations`; change that file, not this one.

Before anything is started, a launch is compared with this table. An entry that is **refused** stops the run. One that is
**warned** of shows with the launch; it depends on something that is not known before the start, or only makes answers
slower.

There are two kinds. *Known to fail*: the engine takes the combination, and hangs, dies or answers wrongly; the entry has the
issue of the engine's project. *Checks of the engine*: the engine itself would refuse it, minutes later and on every node;
the entry has the file of the engine, with the versions in which it was read.

Versions: from the first one that has it to the one before the first without it. "End not known" means that no version
without it was found in the engine's source or in its issues; it may have ended all the same. Conditions about the model or
the GPUs hold only where they are known, from the nodes or from `engine_model_info` and `engine_hardware`.

Where an entry is wrong for you, take another version of the engine, or correct the entry and its example, which are data.
"""
_ENGINES = {"vllm": "vLLM", "sglang": "SGLang", "lmdeploy": "LMDeploy"}
_KINDS = {"broken": "known to fail", "check": "checks of the engine"}


def page() -> str:
    """The whole page."""
    table = yaml.safe_load(TABLE.read_text())
    if missing := {one["engine"] for one in table} - set(_ENGINES):
        raise ValueError(f"no title for {sorted(missing)}")
    parts = [_HEAD]
    for engine, title in _ENGINES.items():
        for kind, words in _KINDS.items():
            entries = [one for one in table if (one["engine"], one["kind"]) == (engine, kind)]
            parts += [f"\n## {title}: {words}\n", *map(_entry, entries)] if entries else []
    return "".join(parts)


def _entry(one: dict[str, Any]) -> str:
    lines = "\n".join(f"- {line}" for line in _condition(one["when"]))
    sources = [one["source"]] if isinstance(one["source"], str) else one["source"]
    shown = ", ".join(f"<{source}>" if source.startswith("http") else f"`{source}`" for source in sources)
    found = f"{_sentence(one['consequence'])} {one['severity'].capitalize()}, {_versions(one)}, where"
    return f"\n### {one['id']}\n\n{found}\n\n{lines}\n\n**What to do:** {one['remedy']}.\n\nSource: {shown}\n"


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _versions(one: dict[str, Any]) -> str:
    since, fixed = one.get("since"), one.get("fixed")
    if fixed:
        return f"{f'from {since}' if since else 'all'} before {fixed}"
    end = "" if one["kind"] == "check" else ", end not known"
    return f"from {since} on{end}" if since else f"in every version{end}"


def _condition(when: dict[str, Any]) -> list[str]:
    lines = []
    for name, wanted in when.items():
        if name == "any":
            lines.append("one of: " + "; ".join(" and ".join(_condition(one)) for one in wanted))
        else:
            lines.append(f"`{name.removeprefix('options.')}` {_test(wanted)}")
    return lines


_WORDS = {
    "above": "is above {}",
    "below": "is below {}",
    "multiple_of": "is a multiple of {}",
    "not_multiple_of": "is no multiple of {}",
    "contains": "has {} in it",
}


def _test(wanted: Any) -> str:
    if isinstance(wanted, list):
        return "is one of " + ", ".join(map(_value, wanted))
    if not isinstance(wanted, dict):
        return f"is {_value(wanted)}"
    words = []
    for test, operand in wanted.items():
        if test == "set":
            words.append("is set" if operand else "is not set")
        elif test == "not":
            words.append(
                "is none of " + ", ".join(map(_value, operand))
                if isinstance(operand, list)
                else f"is not {_value(operand)}"
            )
        elif test != "default":
            words.append(_WORDS[test].format(_value(operand)))
    default = f" (when not set, {_value(wanted['default'])})" if "default" in wanted else ""
    return " and ".join(words) + default


def _value(value: Any) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"`{text.removeprefix('options.')}`"


if __name__ == "__main__":
    PAGE.write_text(page())
