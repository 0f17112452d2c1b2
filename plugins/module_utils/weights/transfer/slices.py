# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state of a node in a transfer: which slices are here, which one is next, and from which node it is taken.

No I/O; private to this collection. docs/weights-distribute.md describes how the nodes work together.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.weights import manifest

CHECKING, RECEIVING, COMPLETE, FAILED = "checking", "receiving", "complete", "failed"
# A node that failed is tried again after this time, then after twice as long, and so on.
HOLD_S = 1.0
MOST_HOLD_S = 300.0
# A node that gives nothing for this long is left when another one has what we lack.
QUIET_S = 4.0
# A node that seems slow is compared with the one before it when this many slices are waiting there.
LAG_SLICES = 8
FASTER = 2.0
LEAVE, COMPARE, STAY = "leave", "compare", "stay"


class Stop(Exception):
    """This node cannot go on; the text is the reason."""


def log(text: str) -> None:
    """A line in the journal."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


class File:
    """One file of the manifest, and which of its slices are here."""

    def __init__(self, number: int, listed: Mapping[str, Any], root: Path, slice_bytes: int) -> None:
        self.number, self.path, self.size, self.sha256 = number, listed["path"], listed["size"], listed["sha256"]
        self.place = root / self.path
        self.partial = root / manifest.PARTIAL / self.path
        self.slice_bytes = slice_bytes
        self.count = -(-self.size // slice_bytes)
        self.crcs: dict[int, int] = {}
        """Slice → the CRC-32 with which it travels."""
        self.here: set[int] = set()
        self.inherited = False
        """There are bytes from an earlier transfer: a slice is compared before it is fetched."""
        self.placed = False

    def span(self, number: int) -> tuple[int, int]:
        """Offset and length of a slice, in bytes."""
        offset = number * self.slice_bytes
        return offset, min(self.slice_bytes, self.size - offset)


@dataclass
class Shelf:
    """The files of this node; threads that wait for a slice wait here."""

    files: list[File]
    news: threading.Condition = field(default_factory=threading.Condition)
    taken: set[tuple[int, int]] = field(default_factory=set)
    slices: int = 0
    bytes: int = 0
    stopped: bool = False
    failure: str = ""
    """Why this node cannot go on."""

    @property
    def total(self) -> int:
        return sum(file.size for file in self.files)

    @property
    def complete(self) -> bool:
        return all(file.placed for file in self.files)

    def find(self, name: str) -> tuple[File, int] | None:
        """The slice that ``<file>/<slice>`` names."""
        one, _unused, other = name.partition("/")
        try:
            file, number = int(one), int(other)
        except ValueError:
            return None
        if 0 <= file < len(self.files) and 0 <= number < self.files[file].count:
            return self.files[file], number
        return None

    def next(self, wait: bool = True) -> tuple[File, int] | None:
        """The first slice that no stream brings yet, in the order of the manifest; None when all files are in their place.

        Without ``wait`` also None when every slice that is missing is on its way.
        """
        with self.news:
            while not (self.complete or self.stopped):
                for file in self.files:
                    if len(file.here) == file.count:
                        continue
                    for number in range(file.count):
                        if number not in file.here and (file.number, number) not in self.taken:
                            self.taken.add((file.number, number))
                            return file, number
                if not wait:
                    break
                self.news.wait(1)
            return None

    def put_back(self, file: File, number: int) -> None:
        with self.news:
            self.taken.discard((file.number, number))
            self.news.notify_all()

    def add(self, file: File, number: int, crc: int | None = None) -> None:
        with self.news:
            self.taken.discard((file.number, number))
            if number not in file.here:
                file.here.add(number)
                self.slices += 1
                self.bytes += file.span(number)[1]
            if crc is not None:
                file.crcs[number] = crc
            self.news.notify_all()

    def add_all(self, file: File) -> None:
        """A file that is whole and in its place."""
        file.placed = True
        for number in range(file.count):
            self.add(file, number)
        with self.news:
            self.news.notify_all()

    def drop(self, file: File) -> None:
        """Forget a file's slices: what they make up is wrong."""
        with self.news:
            self.slices -= len(file.here)
            self.bytes -= sum(file.span(number)[1] for number in file.here)
            file.here.clear()
            file.crcs.clear()
            file.inherited = False
            self.news.notify_all()

    def wait_for(self, file: File, number: int, seconds: float | None = None) -> bool:
        """Whether the slice is here, at the latest after ``seconds``."""
        with self.news:
            return self.news.wait_for(lambda: number in file.here or self.stopped, seconds) and number in file.here

    def stop(self, why: str = "") -> None:
        """No thread needs to wait any more; ``why`` when that is because this node cannot go on. The first reason counts."""
        with self.news:
            self.failure = self.failure or why
            self.stopped = True
            self.news.notify_all()


class Progress:
    """How far this node is, counted by several threads."""

    def __init__(self) -> None:
        self.state, self.message = CHECKING, ""
        self.checked = self.received = 0
        """Bytes that were hashed or compared here, and that came over the network."""
        self.began = self.moved = time.monotonic()
        """When it last went on."""
        self.finished_at = 0.0
        self.lock = threading.Lock()

    def count(self, checked: int = 0, received: int = 0) -> None:
        with self.lock:
            self.checked += checked
            self.received += received
            self.moved = time.monotonic()

    @property
    def quiet_s(self) -> float:
        return time.monotonic() - self.moved


@dataclass(frozen=True)
class Upstream:
    """A node that slices can come from."""

    name: str
    address: str
    port: int


class Route:
    """The node that slices come from: the nearest node of the list that is not on hold."""

    def __init__(self, upstreams: list[Upstream], clock: Callable[[], float] = time.monotonic) -> None:
        self.upstreams, self.clock = upstreams, clock
        self.until = dict.fromkeys(upstreams, 0.0)
        self.hold = dict.fromkeys(upstreams, HOLD_S)
        self.why: dict[Upstream, str] = {}
        self.lock = threading.Lock()

    def current(self) -> Upstream | None:
        return next((one for one in self.upstreams if not self.on_hold(one)), None)

    def on_hold(self, upstream: Upstream) -> bool:
        return self.until[upstream] > self.clock()

    def before(self, upstream: Upstream) -> Upstream | None:
        """The one that would be taken instead."""
        later = self.upstreams[self.upstreams.index(upstream) + 1 :]
        return next((one for one in later if not self.on_hold(one)), None)

    def leave(self, upstream: Upstream, why: str, seconds: float = 0) -> None:
        """Put a node on hold: for ``seconds``, or twice as long as the last time."""
        now = self.clock()
        with self.lock:
            self.why[upstream] = why
            if self.until[upstream] > now:
                return  # another stream reported it already
            self.until[upstream] = now + (seconds or self.hold[upstream])
            self.hold[upstream] = min(2 * self.hold[upstream], MOST_HOLD_S)
        log(f"leaving {upstream.name}: {why}")

    def reasons(self) -> str:
        return "; ".join(f"{one.name}: {why}" for one, why in self.why.items()) or "they have nothing new"


def judge(ahead: int, quiet_s: float) -> str:
    """What to do about the node that slices come from, when the one before it has ``ahead`` slices that we lack."""
    if ahead > 0 and quiet_s > QUIET_S:
        return LEAVE
    return COMPARE if ahead > LAG_SLICES else STAY
