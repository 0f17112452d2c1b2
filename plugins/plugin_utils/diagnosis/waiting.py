# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one look at a rank means for those who wait for it. Pure; private to this collection."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
# "(EngineCore pid=226) INFO 11-22 19:54:22 [core.py:144] text" of vLLM, "[2026-11-22 19:54:22 TP0] text" of SGLang
_PREFIX = re.compile(
    r"^(\([^)]*pid=\d+\)\s*)?((INFO|WARNING|ERROR|DEBUG)\s+[\d-]+ [\d:.,]+ (\[[^\]]*\]\s*)?|\[\d{4}-[^\]]*\]\s*)?"
)


# lines of libraries that tell nothing about the start:
# "W1122 20:12:26.309000 710 torch/…" is torch's own form of a warning; systemd's "Started …"
_NOISE = re.compile(r"warning|^W\d{4} |^\s|^Start(?:ed|ing) \S+\.service", re.IGNORECASE)


def last_words(lines: Sequence[str], width: int = 90) -> str:
    """The last line of progress, without colours and the engine's own prefix, cut to ``width`` characters.

    Warnings and continuation lines are passed over: they stay longest in view while an engine loads, and mean least.
    """
    for line in reversed([_ANSI.sub("", line) for line in lines]):
        text = _PREFIX.sub("", line).strip()
        if text and not _NOISE.search(line):
            return text if len(text) <= width else f"{text[: width - 1]}…"
    return ""


def given_up(info: Mapping[str, Any]) -> str:
    """Why there is nothing more to wait for; empty while there is.

    info: what `rank_info` returned, after the supervisor was started. It would try again by itself; who waits for a start
    wants to know of the first failure.
    """
    supervisor, failure = info["supervisor"], info["group"].get("failure")
    if supervisor["active"] not in ("active", "activating", "reloading"):
        return f"its supervisor is {supervisor['active']} ({supervisor['result']}, exit status {supervisor['exit_status']})"
    return str(failure["why"]) if failure else ""
