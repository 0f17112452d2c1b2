# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a rank that starts is doing, from its log, and which rank the others wait for. Pure; private to this collection.

The knowledge is ``data/progress.yml``. A progress bar that an engine draws with carriage returns reaches the journal only when
its line ends, so that the numbers of such a bar (graph capture) may come late; the bars of the loaders end each line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.fullrank.serving.plugins.plugin_utils.diagnosis.log_line import clean

PHASES = ("pull", "start", "meet", "met", "load", "loaded", "compile", "cache", "graphs", "ready", "serve")

# docker pull without a terminal: a line per layer and state (docker/cli, jsonmessage)
_LAYER = re.compile(r"^([0-9a-f]{12}): (\w[\w ]*)")
_LAYER_HERE = ("Pull complete", "Already exists")


@dataclass(frozen=True)
class Step:
    """One entry of the table; the meaning of the fields stands at its top."""

    engine: str
    phase: str
    pattern: re.Pattern[str]
    text: str
    source: str
    waits: bool = False

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Step:
        """Raises KeyError, ValueError or re.error for an entry that is not one."""
        if data["phase"] not in PHASES:
            raise ValueError(f"{data['text']}: phase {data['phase']}")
        return cls(**{**data, "pattern": re.compile(data["pattern"])})


@dataclass(frozen=True)
class Stage:
    """Where a rank is: its phase, in words, and whether it waits there for the others."""

    phase: str
    text: str
    waits: bool = False

    @property
    def place(self) -> int:
        return PHASES.index(self.phase)


STARTING = Stage("start", "starting")


def stage(steps: Sequence[Step], lines: Sequence[str]) -> Stage | None:
    """The last stage in the log; None when no line is in the table."""
    for number in range(len(lines) - 1, -1, -1):
        text = clean(lines[number])
        if _LAYER.match(text):
            return pulled(lines[: number + 1])
        for step in steps:
            hit = step.pattern.search(text)
            if hit:
                return Stage(step.phase, step.text.format(**hit.groupdict()), step.waits)
    return None


def pulled(lines: Sequence[str]) -> Stage:
    """How much of an image has come: layers that are here of those that docker has named so far."""
    layers: dict[str, bool] = {}
    for line in lines:
        hit = _LAYER.match(clean(line))
        if hit:
            layers[hit[1]] = layers.get(hit[1], False) or hit[2].strip() in _LAYER_HERE
    here = sum(layers.values())
    return Stage("pull", f"pulling {100 * here // len(layers)} % ({here} of {len(layers)} layers)")


def words(rank: int, stages: Mapping[int, Stage]) -> str:
    """What ``rank`` does, for people: its own stage and, where it waits, for which ranks. stages: of all ranks, as far as known.

    A rank that waits does so for those that have not come as far; the one furthest behind is named, with what it does.
    """
    own = stages[rank]
    if not own.waits:
        return own.text
    behind = [other for other, there in stages.items() if other != rank and there.place < own.place]
    if not behind:
        return own.text
    last = min(behind, key=lambda other: (stages[other].place, other))
    more = f" and {len(behind) - 1} more" if len(behind) > 1 else ""
    return f"{own.text}, waiting for rank {last}{more} ({stages[last].text})"
