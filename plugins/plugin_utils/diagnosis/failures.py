# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the logs of all ranks to the likely causes of a failure, likeliest first. Pure; private to this collection.

The knowledge is ``data/failures.yml``; this is how it is applied. Three things decide the order:

- the content of a line: one that names a cause before one that reports a symptom, before one that only repeats that
  something else has failed (an engine whose process died, a rank whose peer is gone);
- the rank that failed first before the others;
- time, where the lines carry one.

A line counts for the first signature that it matches: the table is ordered from the specific to the general.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

LEVELS = ("cause", "symptom", "warning", "echo")
# What is searched of a longer line. Engines print their whole configuration in one line; what matters of an error is at its ends.
HEAD, TAIL = 1500, 1500
QUOTED = 300

_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
# the end of a Python traceback, or a line that systemd, docker or an engine marks as an error
_ERROR = re.compile(r"\b\w*(?:Error|Exception)\b ?:|\b(?:ERROR|FATAL|error|fatal)\b ?:|Failed with result")
_FRAME = re.compile(r"^\s*(?:File \"|raise |\^+|~+)")


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

    @classmethod
    def from_data(cls, data: Mapping[str, str]) -> Signature:
        """Raises KeyError, ValueError or re.error for an entry that is not one."""
        if data["level"] not in LEVELS:
            raise ValueError(f"{data['id']}: level {data['level']}")
        return cls(**{**data, "pattern": re.compile(data["pattern"])})  # type: ignore[arg-type]


def clean(line: str) -> str:
    """A line as it is searched and quoted: without colours, the last state of a progress bar, of bounded length."""
    text = _ANSI.sub("", line).rstrip("\r\n").rpartition("\r")[2]
    return text if len(text) <= HEAD + TAIL else f"{text[:HEAD]} … {text[-TAIL:]}"


def search(signatures: Sequence[Signature], lines: Iterable[str]) -> list[dict[str, Any]]:
    """What the table knows of one log: each signature once, with its first line.

    ``{"id", "number": line, counted from 0, "line": as quoted, "time": seconds since the epoch or None}``. A time stands in
    front of a line as journalctl's ``short-unix`` writes it.
    """
    found: dict[str, dict[str, Any]] = {}
    for number, time, text in _own_doing(lines):
        for signature in signatures:
            hit = signature.pattern.search(text)
            if hit:
                found.setdefault(
                    signature.id,
                    {"id": signature.id, "number": number, "line": quote(text, *hit.span()), "time": time},
                )
                break
    return list(found.values())


# systemd's lines when it stops or starts a unit of ours
_STOPPED_BY_US = re.compile(r"^Stopping fullrank-")
_STARTED_BY_US = re.compile(r"^Start(?:ing|ed) fullrank-")


def _own_doing(lines: Iterable[str]) -> Iterator[tuple[int, float | None, str]]:
    """Number, time and text of the lines that a rank wrote while it was to run: that a rank that is being stopped is killed
    after its time, or loses the others, is no failure."""
    stopped = False
    for number, raw in enumerate(lines):
        time, line = split_time(raw)
        text = clean(line)
        if _STOPPED_BY_US.match(text):
            stopped = True
        elif _STARTED_BY_US.match(text):
            stopped = False
        if not stopped:
            yield number, time, text


_TIME = re.compile(r"^(\d{9,}\.\d{6}) \S+ (?:[^:\s]+: )?")


def split_time(line: str) -> tuple[float | None, str]:
    """``1795377378.123456 n1 fullrank-tiny[7]: text`` → the time and the text; None and the line where there is no time."""
    stamp = _TIME.match(line)
    return (float(stamp[1]), line[stamp.end() :]) if stamp else (None, line)


def quote(text: str, start: int, end: int) -> str:
    """The part of a line to show: all of it, or what is around the hit."""
    text = text.strip()
    if len(text) <= QUOTED:
        return text
    first = max(0, min(start - QUOTED // 3, len(text) - QUOTED))
    return ("…" if first else "") + text[first : first + QUOTED] + ("…" if first + QUOTED < len(text) else "")


def last_error(lines: Sequence[str]) -> str:
    """The last line that looks like an error, for a failure that the table does not know; empty when none does."""
    for _number, _when, line in reversed(list(_own_doing(lines))):
        text = line.strip()
        if _ERROR.search(text) and not _FRAME.match(text):
            return quote(text, 0, 0)
    return ""


def rank_causes(
    signatures: Sequence[Signature],
    sightings: Mapping[int, Sequence[Mapping[str, Any]]],
    first_failed: int | None = None,
) -> list[dict[str, Any]]:
    """The causes, likeliest first, from what :func:`search` found in the log of each rank.

    sightings: rank → its findings. first_failed: the rank that failed first, where it is known.
    ``{"id", "level", "cause", "remedy", "source", "rank": where it was seen first, "line", "time", "ranks": all that saw it}``
    """
    order = {signature.id: place for place, signature in enumerate(signatures)}
    by_id = {signature.id: signature for signature in signatures}
    seen: dict[str, list[tuple[tuple[bool, float, int], int, Mapping[str, Any]]]] = {}
    for rank, found in sightings.items():
        for one in found:
            time = float("inf") if one["time"] is None else one["time"]
            seen.setdefault(one["id"], []).append(((rank != first_failed, time, rank), rank, one))
    causes = []
    for name, places in seen.items():
        key, rank, one = min(places, key=lambda place: place[0])
        signature = by_id[name]
        causes.append(
            (
                (LEVELS.index(signature.level), *key, order[name]),
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


def cause_lines(causes: Sequence[Mapping[str, Any]], hosts: Sequence[str], limit: int = 3) -> list[str]:
    """The likely causes for people. hosts: in rank order. Echoes are left out where something better is known."""
    known = [cause for cause in causes if cause["level"] != "echo"] or list(causes)
    lines = []
    for place, cause in enumerate(known[:limit]):
        others = [f"{rank} ({hosts[rank]})" for rank in cause["ranks"] if rank != cause["rank"]]
        lines += [
            f"{'Likely cause' if place == 0 else 'Also seen'}: {cause['cause']}",
            f"   rank {cause['rank']} ({hosts[cause['rank']]}): {cause['line']}",
            *([f"   also rank {', '.join(others)}"] if others else []),
            f"   What to do: {cause['remedy']}",
        ]
    if len(known) > limit:
        lines.append(f"   ({len(known) - limit} more)")
    return lines
