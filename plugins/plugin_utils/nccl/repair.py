# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a list of devices was meant to be that NCCL reads in another way.

These are guesses; the lint offers only those that it accepts itself.
"""

from __future__ import annotations

import re

MOST = 64
"""Names that a range may stand for: more than NCCL's 32, so that too long a list is still reported as such."""

_RANGE = re.compile(r"(?P<stem>[A-Za-z][\w.]*?)[\[{](?P<inside>[0-9][0-9,.\-]*)[\]}](?P<rest>[\w.:]*)", re.ASCII)
_DASH = re.compile(r"(?P<stem>[A-Za-z]\w*?_?)(?P<first>[0-9]+)-(?:(?P=stem))?(?P<last>[0-9]+)", re.ASCII)
_PORT = re.compile(r"(?P<name>[A-Za-z][\w.-]*)/(?P<port>[0-9]+)", re.ASCII)
_WILD = re.compile(r"(?P<stem>[A-Za-z][\w.-]*?)[*?]+", re.ASCII)
_OTHER_END = re.compile(r"(?P<name>[\w.-]+)@[\w.-]+", re.ASCII)


def repaired(value: str) -> str:
    """The value in NCCL's grammar; "" where nothing can be guessed.

    >>> [repaired(v) for v in ("mlx5_0/1", "mlx5_[0-3]", "=mlx5_{0,2}", "mlx5_*", "^=mlx5_0, =mlx5_1")]
    ['=mlx5_0:1', '=mlx5_0,mlx5_1,mlx5_2,mlx5_3', '=mlx5_0,mlx5_2', 'mlx5_', '^=mlx5_0,mlx5_1']
    """
    text = value.strip().strip("\"'").strip()
    excludes = text.lstrip("=").startswith("^")
    text = _RANGE.sub(_spelled, text)
    names: list[str] = []
    wild = False
    for entry in re.split(r"[,;|\s]+", text):
        word = entry.strip("\"'=^[](){}")
        if not word:
            continue
        if star := _WILD.fullmatch(word):
            wild, word = True, star["stem"]
        elif port := _PORT.fullmatch(word):
            word = f"{port['name']}:{port['port']}"
        elif dash := _DASH.fullmatch(word):
            word = _numbers(dash["stem"], dash["first"], dash["last"], "") or word
        elif end := _OTHER_END.fullmatch(word):
            word = end["name"]
        names += word.split(",")
    if not names:
        return ""
    # a prefix list takes exact names too, an exact list takes no prefixes
    return ("^" if excludes else "") + ("" if wild else "=") + ",".join(dict.fromkeys(names))


def _spelled(found: re.Match[str]) -> str:
    """``mlx5_[0-3,7]`` spelled out."""
    names: list[str] = []
    for part in found["inside"].replace("..", "-").split(","):
        first, dash, last = part.partition("-")
        if not first.isdigit() or (dash and not last.isdigit()):
            return found[0]
        spelled = _numbers(found["stem"], first, last if dash else first, found["rest"])
        if not spelled:
            return found[0]
        names.append(spelled)
    return ",".join(names)


def _numbers(stem: str, first: str, last: str, rest: str) -> str:
    """Names from ``stem + first`` to ``stem + last``, joined; "" where that is no range."""
    if not int(first) <= int(last) < int(first) + MOST:
        return ""
    return ",".join(f"{stem}{number}{rest}" for number in range(int(first), int(last) + 1))
