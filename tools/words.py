# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private words of this project, and what to write instead: ``python -m tools.words``.

Prints ``path:line: word; write ...`` for each and ends with 1 when there is one. Words are found in code, comments, messages,
tasks and pages, as a part of a name too (``endpoint_door``). `NAMES` are refused as names only; sentences may have them.
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]

WORDS = {
    "door": "endpoint, endpoint check",
    "doors": "endpoints, endpoint checks",
    "house": "architecture",
    "glance": "status",
    "glances": "statuses",
    "pulse": "health",
    "pulses": "health",
    "canary": "health probe",
    "canaries": "health probes",
    "heart": "health",
    "teller": "progress",
    "tellers": "progress",
    "foretell": "predict (check mode)",
    "foretold": "predicted (check mode)",
    "strays": "unwanted",
    "stranger": "unknown, foreign",
    "strangers": "unknown, foreign",
    "speaker": "reporter",
    "says": "reports, has, is, shows",
    "said": "reported",
    "told": "reported, passed, known",
    "whom": "which user, which node",
    "nobody": "no user, no process, no node",
    "anew": "again",
}
"""Refused everywhere, also as a part of a name. The field's own words are others: heartbeat, doorbell, warehouse."""

NAMES = {
    "asked": "requested",
    "given": "params, options",
    "kept": "previous, retained",
    "way": "path, method, mode",
}
"""Refused as the name of a variable, a field, a task file or a key of YAML; plain English in a sentence."""

PHRASES = {
    "in thought": "in check mode",
    "the launch before": "the previous launch",
}

ALLOWED = (
    "LICENSE",
    "tools/words.py",
    "tests/unit/roles/test_task_names.py",
    "tests/unit/tools/test_words.py",
    "plugins/plugin_utils/launch/engines/ray_gate.py",
)
"""Files that name these words for what they are. `ray_gate.py` is a part of each launch hash: a change restarts engines."""

QUOTED = (
    "plugins/plugin_utils/data/catalog",
    "plugins/plugin_utils/data/models",
    "roles/webui/files",
    "tests/engines",
    "tests/unit/data",
)
"""Files and folders with texts of other projects: their own words are quoted."""

SUFFIXES = {".py", ".yml", ".yaml", ".md", ".j2", ".json", ".toml", ".cfg", ".sh", ""}
_PIECE = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_KEY = re.compile(r"^\s*(?:- )?([a-z_]+):(?:\s|$)")


def in_text(text: str) -> Iterator[tuple[int, str, str]]:
    """(line, word, what to write) of each private word in a text; lines from 1."""
    for number, line in enumerate(text.splitlines(), 1):
        pieces = {piece.lower() for piece in _PIECE.findall(line)}
        for word in sorted(pieces & WORDS.keys()):
            yield number, word, WORDS[word]
        for phrase in sorted(one for one in PHRASES if one in line.lower()):
            yield number, phrase, PHRASES[phrase]


def in_python_names(source: str) -> Iterator[tuple[int, str, str]]:
    """The same of the names in Python, and of the keys that are looked up or written as a string."""
    tokens = [
        one
        for one in tokenize.generate_tokens(io.StringIO(source).readline)
        if one.type in (tokenize.NAME, tokenize.STRING)
    ]
    for token in tokens:
        name = token.string.strip("'\"_") if token.type == tokenize.STRING else token.string.strip("_")
        if name in NAMES and not (name == "given" and "hypothesis" in source):
            yield token.start[0], name, NAMES[name]


def in_yaml_keys(text: str) -> Iterator[tuple[int, str, str]]:
    """The same of the keys of a YAML text."""
    for number, line in enumerate(text.splitlines(), 1):
        key = _KEY.match(line)
        if key and key[1].strip("_") in NAMES:
            yield number, key[1], NAMES[key[1].strip("_")]


def files() -> list[str]:
    """The texts of the checkout that are read, as paths from its top."""
    done = subprocess.run(["git", "ls-files"], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    return [name for name in done.stdout.splitlines() if _is_read(name)]


def _is_read(name: str) -> bool:
    path = CHECKOUT / name
    outside = any(name == one or name.startswith(f"{one}/") for one in (*ALLOWED, *QUOTED, ".ci"))
    return not outside and path.suffix in SUFFIXES and path.is_file() and not path.is_symlink()


def found(name: str, text: str) -> list[str]:
    """A line for each private word of a file, its path included."""
    lines = list(in_text(text)) + list(in_text_of_path(name))
    if name.endswith(".py") or text.startswith("#!/usr/bin/env python"):
        lines += in_python_names(text)
    elif name.endswith((".yml", ".yaml")):
        lines += in_yaml_keys(text)
    return [f"{name}:{number}: {word!r}; write: {instead}" for number, word, instead in sorted(set(lines))]


def in_text_of_path(name: str) -> Iterator[tuple[int, str, str]]:
    """The private words in the name of a file or folder, as line 0."""
    for _number, word, instead in in_text(name):
        yield 0, word, instead
    if Path(name).stem in NAMES:
        yield 0, Path(name).stem, NAMES[Path(name).stem]


def faults() -> list[str]:
    """All private words of the checkout."""
    return [line for name in files() for line in found(name, _text(name))]


def _text(name: str) -> str:
    return (CHECKOUT / name).read_text(encoding="utf-8", errors="replace")


def main() -> int:
    lines = faults()
    print("\n".join(lines) or "no private words")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
