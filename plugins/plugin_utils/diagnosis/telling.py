# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The line of a log that tells most of a failure, for one that the table does not know. Pure; private to this collection.

The first failure counts, since others follow from it: of chained exceptions the innermost, of several workers the first.
A line that only shows that something else has failed is the last resort.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from ansible_collections.fullrank.serving.plugins.plugin_utils.diagnosis import log_line
from ansible_collections.fullrank.serving.plugins.plugin_utils.diagnosis.log_line import EXCEPTION, quote
from ansible_collections.fullrank.serving.plugins.plugin_utils.diagnosis.log_reading import Read, read_log

# how much a line tells, best first
EXACT, INCIDENTAL, REPORTED, LIKELY, SECONDHAND, ENDED = range(6)

# programs that are not Python: docker, NVIDIA's container tools, NCCL, NVSHMEM, UCX, argparse, systemd, glibc, C++, the kernel
_PROGRAM = re.compile(
    r"Error response from daemon|nvidia-container-(?:cli|runtime)|NCCL WARN|NVSHMEM.{0,40}(?:ERROR|error|failed|called before)|"
    r": non-zero status: |: NULL value |UCX +(?:ERROR|FATAL)|^\S{1,40}: error: |^error: |^ *Value error, |Failed at step|"
    r"terminate called|Segmentation fault|Fatal Python error|error while loading shared libraries|command not found|"
    r"NVRM: (?:Xid|API mismatch|GPU)|[Oo]ut of memory|oom-kill|manifest unknown"
)
# Exceptions that are often raised and handled on the way to another one
_INCIDENTAL = re.compile(
    r"^[\w.]*(?:KeyError|StopIteration|IndexError|AttributeError|ModuleNotFoundError|ImportError|CancelledError|KeyboardInterrupt|"
    r"TimeoutError|queue\.Empty)\b"
)
# What only repeats that something else failed. vllm, v1/engine, v1/executor; sglang, managers; lmdeploy; ray; torch; systemd
_SECONDHAND = re.compile(
    r"Engine core initialization failed|EngineDeadError|EngineCore (?:encountered|failed|hit)|"
    r"WorkerProc (?:initialization|failed|hit)|Worker proc .{0,60}died|Failed core proc|background process|Executor failed|"
    r"Worker failed with error|See (?:root cause|stack trace)|Frontend process failed|[Rr]eceived (?:sigquit|SIG\w+)|"
    r"hit an exception|terminated with|Initialization failed\. Please see|RayTaskError\(|RayActorError|ActorDiedError|ray::|"
    r"CalledProcessError|ChildFailedError|ProcessRaisedException|ProcessExitedException|^SystemExit|"
    r"Server process .{0,40}exited|Connection (?:closed|reset) by (?:remote )?peer|Broken ?[Pp]ipe|EOFError|"
    r"leaked (?:shared_memory|semaphore)|CancelledError|KeyboardInterrupt"
)
_ENDED = re.compile(
    r"Main process exited|Failed with result|Scheduled restart|Start request repeated|Control process exited|Failed to start"
)
_ERROR = re.compile(
    r"\b\w*(?:Error|Exception)\b ?:|\b(?:ERROR|FATAL|error|fatal)\b {0,4}:|\b\d+ errors? detected|\b[Ff]ailed (?:to|with|due)\b"
)
_OPEN_END = re.compile(r"(?::|validation errors? for [\w.]+)\s*$")


class Known(Protocol):
    """An entry of a table of lines."""

    def find(self, text: str) -> re.Match[str] | None: ...


@dataclass(frozen=True)
class Telling:
    """text: as quoted. weight: how much it tells, 0 is best. time, number: of the line."""

    text: str
    weight: int
    time: float | None
    number: int


def telling(lines: Iterable[str], harmless: Sequence[Known] = ()) -> Telling | None:
    """The line that tells most; None when none looks like an error. harmless: lines that look like one and are none."""
    reads = [read for read in read_log(lines) if not any(one.find(read.line.text) for one in harmless)]
    best: tuple[tuple[int, bool, int], int] | None = None
    for place, read in enumerate(reads):
        weight = _weight(read)
        if weight is None:
            continue
        key = (weight, read.chained, read.line.number if weight < ENDED else -read.line.number)
        if best is None or key < best[0]:
            best = (key, place)
    if best is None:
        return None
    (weight, _unused, _number), place = best
    line = reads[place].line
    return Telling(_whole(reads, place), weight, line.time, line.number)


def _weight(read: Read) -> int | None:
    text = read.line.text
    if _ENDED.search(text):
        return None if read.over else ENDED
    if read.over or read.line.low:
        return None
    is_exception = bool(EXCEPTION.match(text))
    if _SECONDHAND.search(text):
        return SECONDHAND if is_exception or read.line.level == log_line.ERROR or _ERROR.search(text) else None
    if _PROGRAM.search(text):
        return EXACT
    if is_exception:
        return INCIDENTAL if _INCIDENTAL.match(text) else EXACT
    if text[:1].isspace():
        return None
    if read.line.level == log_line.ERROR:
        return None if text.startswith("Traceback") else REPORTED
    return LIKELY if _ERROR.search(text) else None


def _whole(reads: Sequence[Read], place: int) -> str:
    """The line, and what it leaves open: the next line after a colon (a ValidationError, NCCL's "Last error:"), the code of an
    assertion without words."""
    read = reads[place]
    text = read.line.whole.strip()
    following = reads[place + 1].line if place + 1 < len(reads) else None
    if following and following.process == read.line.process and _OPEN_END.search(text):
        text = f"{text.rstrip(':')}: {following.text.strip()}"
    elif read.code and EXCEPTION.match(read.line.text) and ":" not in read.line.text:
        text = f"{text}: {read.code}"
    return quote(text, 0, 0)
