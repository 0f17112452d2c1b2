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


# what libraries say beside the point; "W1122 20:12:26.309000 710 torch/…" is torch's own form of a warning; systemd's "Started …"
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


def ended(info: Mapping[str, Any]) -> str:
    """Why a rank that should run does not; empty while it does.

    Every end is a failure: vLLM's head exits with status 0 after its engine died.
    """
    state = info["rank_state"]
    if state["active"] in ("active", "activating"):
        return ""
    if not state["since"]:
        return "its unit was never started"
    return f"its unit is {state['active']} ({state['result']}, exit status {state['exit_status']})"


def listens(info: Mapping[str, Any], port: int) -> bool:
    """Whether the rank itself, and not somebody else, listens on ``port``."""
    unit = info["rank_state"]["unit"]
    return any(one["port"] == port and one["unit"] == unit for one in info["listeners"])
