"""Lists of words as one line: for a shell, for a systemd unit, for compose."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence

SYSTEMD_PLAIN = re.compile(r"[A-Za-z0-9_@:,./=+-]+")


def shell_line(argv: Sequence[str], env: Mapping[str, str] | None = None) -> str:
    """A line that people paste into a POSIX shell; ``shlex.split`` gives the words back."""
    words = ["env", *(f"{name}={value}" for name, value in env.items()), *argv] if env else list(argv)
    return shlex.join(words)


def systemd_line(argv: Sequence[str]) -> str:
    """The words as the value of ``ExecStart=`` (systemd.service(5), "Command lines"; systemd.unit(5), "Specifiers").

    ``%`` and ``$`` are doubled, since systemd would expand them; words with anything unusual are put into double
    quotes.
    """
    return " ".join(map(_systemd_word, argv))


def _systemd_word(word: str) -> str:
    if SYSTEMD_PLAIN.fullmatch(word):
        return word
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    escaped = escaped.replace("\n", "\\n").replace("\t", "\\t")
    return f'"{escaped}"'


def compose_word(word: str) -> str:
    """A word that compose will not interpolate: ``$`` is doubled."""
    return word.replace("$", "$$")
