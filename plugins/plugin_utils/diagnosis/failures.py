# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the logs of all ranks to the likely causes of a failure, likeliest first. Pure; private to this collection.

The knowledge is ``data/failures``; this is how it is applied. What counts of a log is in ``log_reading``. The order of causes:

- the content of a line: one that names a cause before one that reports a symptom, before one that only repeats that
  something else has failed (an engine whose process died, a rank whose peer is gone);
- the rank that failed first before the others;
- time, where the lines carry one; then the place in the log: of chained exceptions the innermost is written first.

A line counts for the first signature that it matches: the table is ordered from the specific to the general. A line that the
program itself calls a warning counts where something failed afterwards and no other line names a cause.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ansible_collections.fullrank.serving.plugins.plugin_utils.diagnosis import literals
from ansible_collections.fullrank.serving.plugins.plugin_utils.diagnosis.log_line import DEBUG, INFO, Line, quote
from ansible_collections.fullrank.serving.plugins.plugin_utils.diagnosis.log_reading import Read, is_trouble, read_log
from ansible_collections.fullrank.serving.plugins.plugin_utils.diagnosis.telling import SECONDHAND, Telling, telling

HARMLESS = "harmless"
LEVELS = ("cause", "symptom", "warning", "echo", HARMLESS)


@dataclass(frozen=True)
class Signature:
    """One entry of the table; the meaning of the fields stands at its top."""

    id: str
    component: str
    level: str
    pattern: re.Pattern[str]
    cause: str
    remedy: str
    source: str
    low: bool = False
    lasts: bool = False
    general: bool = False
    stalls: int = 0
    after: re.Pattern[str] | None = None
    until: re.Pattern[str] | None = None

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Signature:
        """Raises KeyError, TypeError, ValueError or re.error for an entry that is not one."""
        if data["level"] not in LEVELS:
            raise ValueError(f"{data['id']}: level {data['level']}")
        patterns = {name: re.compile(data[name]) for name in ("pattern", "after", "until") if name in data}
        return cls(**{**data, **patterns})

    @cached_property
    def needed(self) -> tuple[str, ...]:
        """One of these is in every line that matches; empty where that is not known."""
        return literals.needed(self.pattern.pattern)

    def find(self, text: str) -> re.Match[str] | None:
        """The hit in a line."""
        if not self.needed:
            return self.pattern.search(text)
        for word in self.needed:
            if word in text:
                return self.pattern.search(text)
        return None


def search(signatures: Sequence[Signature], lines: Iterable[str]) -> list[dict[str, Any]]:
    """What the table knows of one log: each signature once, with its first line.

    ``{"id", "number": line, counted from 0, "line": as quoted, "time": seconds or None}``. A time stands in front of a line as
    journalctl's ``short-unix`` writes it, or is the engine's own.
    """
    reads = read_log(lines)
    signatures = [one for one in signatures if _holds(one, reads)]
    low = [one for one in signatures if one.low or one.level == "warning"]
    levels = {one.id: one.level for one in signatures}
    found: dict[str, dict[str, Any]] = {}
    warnings: dict[str, dict[str, Any]] = {}
    trouble = -1
    for read in reads:
        signature, hit = _known(low if read.line.level in (DEBUG, INFO) else signatures, read.line.text)
        if not read.over and is_trouble(read.line) and not (signature and signature.level == HARMLESS):
            trouble = read.line.number
        if not signature or not hit or signature.level == HARMLESS or (read.over and not signature.lasts):
            continue
        if signature.until and _solved(signature.until, read, reads):
            continue
        place = warnings if read.line.low and signature not in low else found
        place.setdefault(signature.id, _sighting(signature, read.line, hit))
    if not any(levels[name] in ("cause", "symptom") for name in found):
        found |= {name: one for name, one in warnings.items() if one["number"] < trouble and name not in found}
    return sorted(found.values(), key=lambda one: one["number"])


def _sighting(signature: Signature, line: Line, hit: re.Match[str]) -> dict[str, Any]:
    before = len(line.whole) - len(line.text)
    quoted = quote(line.whole, before + hit.start(), before + hit.end())
    return {"id": signature.id, "number": line.number, "line": quoted, "time": line.time}


def _known(signatures: Sequence[Signature], text: str) -> tuple[Signature | None, re.Match[str] | None]:
    return next(((one, hit) for one in signatures if (hit := one.find(text))), (None, None))


def _holds(signature: Signature, reads: Sequence[Read]) -> bool:
    """Whether the log as a whole is one that the signature is about: what it wants to see before, and how the log ends."""
    if signature.after and not any(signature.after.search(read.line.text) for read in reads):
        return False
    if not signature.stalls:
        return True
    if not reads or not signature.find(reads[-1].line.text):
        return False
    return sum(bool(signature.find(read.line.text)) for read in reads) >= signature.stalls


def _solved(until: re.Pattern[str], read: Read, reads: Sequence[Read]) -> bool:
    """Whether a later line shows that a process, whichever it was, got there all the same."""
    return any(until.search(other.line.text) for other in reads if other.line.number > read.line.number)


def most_telling(signatures: Sequence[Signature], lines: Iterable[str]) -> Telling | None:
    """The line to show of a failure that the table does not know; None when none looks like an error."""
    return telling(lines, [one for one in signatures if one.level in (HARMLESS, "warning")])


def last_error(lines: Iterable[str], signatures: Sequence[Signature] = ()) -> str:
    """The text of :func:`most_telling`; empty when no line looks like an error."""
    found = most_telling(signatures, lines)
    return found.text if found else ""


def rank_causes(
    signatures: Sequence[Signature],
    sightings: Mapping[int, Sequence[Mapping[str, Any]]],
    first_failed: int | None = None,
) -> list[dict[str, Any]]:
    """The causes, likeliest first, from what :func:`search` found in the log of each rank.

    sightings: rank → its findings. first_failed: the rank that failed first, where it is known.
    ``{"id", "level", "cause", "remedy", "source", "rank": where it was seen first, "line", "time", "ranks": all that saw it}``
    """
    by_id = {signature.id: signature for signature in signatures}
    seen: dict[str, list[tuple[tuple[bool, float, int, int], int, Mapping[str, Any]]]] = {}
    for rank, found in sightings.items():
        for one in found:
            time = float("inf") if one["time"] is None else one["time"]
            seen.setdefault(one["id"], []).append(((rank != first_failed, time, rank, one["number"]), rank, one))
    causes = []
    for name, places in seen.items():
        key, rank, one = min(places, key=lambda place: place[0])
        signature = by_id[name]
        causes.append(
            (
                (LEVELS.index(signature.level), *key),
                {
                    "id": name,
                    "level": signature.level,
                    "cause": signature.cause,
                    "remedy": signature.remedy,
                    "source": signature.source,
                    "rank": rank,
                    "line": one["line"],
                    "time": one["time"],
                    "ranks": sorted({place[1] for place in places}),
                },
            )
        )
    return [cause for _unused, cause in sorted(causes, key=lambda pair: pair[0])]


def names_a_cause(causes: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the first of the ranked causes names what is wrong, not only what it looks like."""
    return bool(causes) and causes[0]["level"] == "cause"


def first_to_fail(errors: Mapping[int, Telling | None]) -> int | None:
    """The rank whose error came first; the first rank with one where times are not known.

    errors: rank → its most telling line.
    """
    known = {rank: error for rank, error in errors.items() if error and error.weight < SECONDHAND}
    if not known:
        return None
    if all(error.time is not None for error in known.values()):
        return min(known, key=lambda rank: (known[rank].time, rank))
    return min(known)


def error_line(errors: Mapping[int, Telling | None], hosts: Sequence[str], first_failed: int | None = None) -> str:
    """The most telling line of all ranks, for people; empty where no log has one.

    That of the rank that failed first, unless it only shows that something else has failed and another rank has more to say.
    """
    known = {rank: error for rank, error in errors.items() if error}
    if not known:
        return ""
    first = first_to_fail(known) if first_failed is None else first_failed
    rank = min(known, key=lambda one: (known[one].weight >= SECONDHAND, one != first, known[one].weight, one))
    return f"rank {rank} ({hosts[rank]}): {known[rank].text}"


NO_CAUSE = "No cause that is known. The line that tells most:"
_HEADINGS = {"warning": "Noticed", "echo": "What is known"}


def cause_lines(causes: Sequence[Mapping[str, Any]], hosts: Sequence[str], limit: int = 3) -> list[str]:
    """The likely causes for people. hosts: in rank order. Echoes are left out where something better is known."""
    known = [cause for cause in causes if cause["level"] != "echo"] or list(causes)
    lines = []
    for place, cause in enumerate(known[:limit]):
        others = [f"{rank} ({hosts[rank]})" for rank in cause["ranks"] if rank != cause["rank"]]
        heading = _HEADINGS.get(cause["level"], "Likely cause" if place == 0 else "Also seen")
        lines += [
            f"{heading}: {cause['cause']}",
            f"   rank {cause['rank']} ({hosts[cause['rank']]}): {cause['line']}",
            *([f"   also rank {', '.join(others)}"] if others else []),
            f"   What to do: {cause['remedy']}",
        ]
    if len(known) > limit:
        lines.append(f"   ({len(known) - limit} more)")
    return lines
