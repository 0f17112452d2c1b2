# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Words and values as text for others to read: a line for a shell, a document for compose."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

JSON = json.JSONEncoder(ensure_ascii=False)


def shell_line(argv: Sequence[str], env: Mapping[str, str] | None = None) -> str:
    """A line that people paste into a POSIX shell; ``shlex.split`` gives the words back."""
    words = ["env", *(f"{name}={value}" for name, value in env.items()), *argv] if env else list(argv)
    return shlex.join(words)


def compose_word(word: str) -> str:
    """A word that compose will not interpolate: ``$`` is doubled."""
    return word.replace("$", "$$")


def yaml_lines(value: Any, indent: str = "") -> Iterator[str]:
    """A YAML document of dicts, lists, texts and numbers, line by line; texts are always quoted, as in JSON.

    Written here because a general dumper takes most of the time of rendering a launch.
    """
    pairs = [(f"{key}:", v) for key, v in value.items()] if isinstance(value, dict) else [("-", v) for v in value]
    for start, item in pairs:
        if isinstance(item, (dict, list)):
            yield indent + start
            yield from yaml_lines(item, indent + "  ")
        else:
            yield f"{indent}{start} {_yaml_scalar(item)}"


def _yaml_scalar(value: Any) -> str:
    text = JSON.encode(value)
    return text if text.isprintable() else "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in text)
