# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what people paste to commands: continuations, comments, variables, wrappers. Pure; nothing is run or looked up.

It reads what recipes and issues have, not the whole of a shell: quotes, comments, ``export``, assignments, ``$VAR``, ``;``,
``&&``. What a shell would compute (``$(hostname -I)``) stays as a name in the text, for the user to fill in.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field

ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
COMPUTED = "COMPUTED_BY_A_SHELL"
_CONTINUED = re.compile(r"[ \t]*\\[ \t]*(?:#[^\n]*)?\n")
_COMMENT_LINE = re.compile(r"^[ \t]*#[^\n]*\n?", re.MULTILINE)
_PROMPT = re.compile(r"^[ \t]*[$>][ \t]+", re.MULTILINE)
_FENCE = re.compile(r"^[ \t]*```[^\n]*\n?", re.MULTILINE)
_COMPUTED = re.compile(r"\$\([^()]*\)|`[^`\n]*`")
_VARIABLE = re.compile(
    r"\$(?:\{(?P<braced>[A-Za-z_][A-Za-z0-9_]*)(?::?-(?P<default>[^}]*))?\}|(?P<plain>[A-Za-z_][A-Za-z0-9_]*))"
)
_SEPARATORS = frozenset(";&|()\n")
_SHELLS = ("bash", "sh", "/bin/bash", "/bin/sh")


@dataclass(frozen=True)
class Command:
    """One command: its words, and the environment that was set for it."""

    words: tuple[str, ...]
    env: dict[str, str] = field(default_factory=dict)


def commands(text: str) -> list[Command]:
    """The commands of a text, in their order. Raises ValueError for a quote that is not closed."""
    text = _PROMPT.sub("", _FENCE.sub("", text.replace("\r\n", "\n") + "\n"))
    # a comment between two continued lines ends no command
    text = _CONTINUED.sub(" ", _COMMENT_LINE.sub("", text))
    text = _COMPUTED.sub("$" + COMPUTED, text)
    found: list[Command] = []
    exported: dict[str, str] = {}
    local: dict[str, str] = {}
    for line in _lines(text):
        words = list(line)
        if words[0] == "export":
            for word in words[1:]:
                name, joined, value = word.partition("=")
                exported[name] = expand(value, exported | local) if joined else local.get(name, "")
            continue
        own: dict[str, str] = {}
        while words and ASSIGNMENT.match(words[0]):
            name, _joined, value = words.pop(0).partition("=")
            own[name] = expand(value, exported | local | own)
        if not words:
            local |= own
            continue
        expanded = tuple(expand(word, exported | local) for word in words)
        if nested := _nested(expanded):
            found += [Command(one.words, exported | own | one.env) for one in commands(nested)]
        else:
            found.append(Command(expanded, exported | own))
    return found


def expand(word: str, known: dict[str, str]) -> str:
    """A word with the variables that are known; others stay as they were written."""

    def value(match: re.Match[str]) -> str:
        name = match["braced"] or match["plain"]
        if name in known:
            return known[name]
        return match["default"] if match["default"] is not None else match[0]

    return _VARIABLE.sub(value, word)


def unknown(word: str) -> list[str]:
    """Names of the variables that a word still has."""
    return [match["braced"] or match["plain"] for match in _VARIABLE.finditer(word)]


def _lines(text: str) -> Iterator[list[str]]:
    lexer = shlex.shlex(text, posix=True, punctuation_chars="".join(sorted(_SEPARATORS)))
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = " \t\r", True, ""
    words: list[str] = []
    comment = False
    for word in lexer:
        ends = set(word) <= _SEPARATORS and word != ""
        if comment and not (ends and "\n" in word):
            continue
        comment = word.startswith("#")
        if ends and words:
            yield words
            words = []
        elif not ends and not comment:
            words.append(word)
    if words:
        yield words


def _nested(words: tuple[str, ...]) -> str:
    """The text behind ``bash -c``, or the command of ``ssh node "…"``; empty without one. That of a container stays with it."""
    if {"run", "exec"} & set(words[:3]):
        return ""
    for place, word in enumerate(words[:-2]):
        option = words[place + 1]
        if word in _SHELLS and option.startswith("-") and option.endswith("c"):
            return words[place + 2]
    return words[-1] if words[0] == "ssh" and " " in words[-1] else ""
