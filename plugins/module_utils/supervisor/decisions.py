# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a group of ranks lives and dies together: what each supervisor decides in one look. Pure; private to this collection.

The head counts *epochs*. In an epoch every rank is started once, the head first and the others together or one after the
other (`StartOrder`); when any of them ends, hangs or falls silent, the epoch is over, all engines are killed, and the next
epoch begins when every rank has been heard to have stopped. The other ranks run their engine only as long as they hear the
head say so. Hence no rank ever joins a group that is not its own, and what is left of a group kills itself within SILENCE_S.

Times are seconds since the node started; the two ends of a conversation never compare theirs.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.supervisor.start_order import StartOrder

TICK_S = 1.0
"""Between two looks, and two decisions."""

AGAIN_S = 0.5
"""After a tick its words are sent once more. Only when ten datagrams in a row are lost a rank is silent (decisions/122)."""

SILENCE_S = 4.5
"""A rank that was not heard for so long is gone. With a look each second, well within ten seconds. A supervisor that is started
again may take up to four seconds for it: its last word was at most AGAIN_S old."""

START_S = 60.0
"""A rank with the order to start must run within this time; the engine's own loading comes after it."""

BACKOFF_S = 2.0
"""Pause before the next epoch after a first failure; it doubles with each further one."""

BACKOFF_MOST_S = 300.0

STABLE_PAUSES = 10
"""A group that was ready for so many times its last pause begins to count its failures again: a fault now and then costs the
shortest pause, one that comes back soon makes the pauses longer until it no longer does."""

BY_OPERATOR = "stopped by the operator"
STOPPED, STARTING, RUNNING, STOPPING = "stopped", "starting", "running", "stopping"
ALIVE = (STARTING, RUNNING)
"""States in which an engine is there or on its way: while systemd has not done its start yet, it can still come."""


@dataclass(frozen=True)
class Engine:
    """This node's engine, in one look.

    state: stopped, starting, running or stopping. epoch: in which this supervisor (or the one before it) started it; 0 for
    somebody else. tried: the last epoch in which a start was made since the node booted. fault: why it has ended or
    cannot stay; empty. lacks: what is missing for a start; empty. listens: whether the head's port of `StartOrder` is open.
    """

    state: str
    epoch: int = 0
    tried: int = 0
    fault: str = ""
    lacks: str = ""
    listens: bool = False


@dataclass(frozen=True)
class Health:
    """The health of the endpoint: ``answers`` once an answer came, ``stalled``, ``hung``; see `health`. rank: whose it is."""

    answers: bool = False
    stalled: bool = False
    hung: bool = False
    summary: str = ""
    rank: int = 0


@dataclass(frozen=True)
class Report:
    """What the head knows of another rank: its words, when they came, and up to when it has heard us."""

    body: Mapping[str, Any]
    at: float
    heard_at: float


@dataclass(frozen=True)
class Decision:
    """What to do now (``start``, ``kill`` or nothing), the words for the other ranks, and for people.

    begin: ranks that have the order to start.
    """

    act: str
    epoch: int
    body: Mapping[str, Any]
    view: Mapping[str, Any]
    begin: frozenset[int] = frozenset()

    def words_for(self, peer: int) -> dict[str, Any]:
        """The words for one rank, which hears of its own order only: followers of the version before know no other."""
        return {**self.body, "begin": peer} if peer in self.begin else dict(self.body)


@dataclass(frozen=True)
class Limits:
    """Seconds: until the head's port of `StartOrder` is open, and from the last rank's start until a completion."""

    meet: float
    ready: float


def pause(failures: int) -> float:
    """Seconds before the next epoch after so many failures in a row."""
    return min(BACKOFF_S * 2.0 ** min(failures - 1, 20), BACKOFF_MOST_S) if failures else 0.0


def view(phase: str, summary: str, epoch: int, failures: int, failure: Mapping[str, Any] | None) -> dict[str, Any]:
    """The state of the group, for people and programs.

    phase: waiting, backoff, starting, loading, ready, stalled or stopping. failure: epoch, rank and why of the last one.
    """
    return {
        "phase": phase,
        "ready": phase == "ready",
        "summary": summary,
        "epoch": epoch,
        "failures": failures,
        "failure": dict(failure) if failure else None,
    }


class Follower:
    """A rank other than the head."""

    def __init__(self, rank: int, spec: str, now: float) -> None:
        self.rank, self.spec = rank, spec
        self._order: Mapping[str, Any] = {}
        self._heard = now  # an engine that runs already is given the time in which the head must be heard
        self._fault: tuple[int, str] = (0, "")
        self.leaving = False

    def hear(self, order: Mapping[str, Any], now: float) -> None:
        """The head's words."""
        self._order, self._heard = order, now

    def tick(self, now: float, engine: Engine, health: Mapping[str, Any] | None = None) -> Decision:
        """One look. health: what it tells of its own endpoint, where it has one (`group_health.words`)."""
        silent = now - self._heard > SILENCE_S
        order = {} if silent else self._order
        epoch = int(order.get("epoch", 0))
        tried = engine.tried
        act = ""
        if engine.fault and tried and self._fault[0] != tried:
            self._fault = (tried, engine.fault)  # the first is the cause
        if engine.state in ALIVE:
            allowed = epoch == engine.epoch and self.rank < order.get("run", 0)
            waiting = not order and not silent  # not heard yet, since this supervisor began
            if (not allowed and not waiting) or engine.fault or not engine.epoch:
                act = "kill"
        elif engine.state == STOPPING and not self.leaving:
            act = "kill"  # what is left of it has nothing to end in peace, and the others wait for it
        elif (
            engine.state == STOPPED
            and order.get("begin") == self.rank
            and epoch > tried
            and order.get("spec") == self.spec
            and not (engine.lacks or self.leaving)
        ):
            act = "start"
        body = {
            "state": engine.state,
            "epoch": engine.epoch if engine.state == RUNNING else 0,
            "tried": tried,
            "fault": self._fault[1] if self._fault[0] == tried else "",
            "lacks": engine.lacks,
            "spec": self.spec,
            "leaving": self.leaving,
            **({"health": health} if health else {}),
        }
        shown = order.get("view") or view("waiting", "waiting for the head", 0, 0, None)
        return Decision(act, epoch, body, shown)


WAITING = "waiting for an answer"


def not_yet(why: str) -> str:
    """The state while there is no answer: an engine opens its port when it has loaded, and refuses until then. why: or empty.

    >>> not_yet("[Errno 111] Connection refused"), not_yet("")
    ('waiting for an answer: the engine does not listen yet', 'waiting for an answer')
    """
    shown = "the engine does not listen yet" if os.strerror(errno.ECONNREFUSED) in why else why
    return f"{WAITING}: {shown}" if shown else WAITING


@dataclass
class Head:
    """Rank 0, which decides for all; alone, it is the whole group.

    names: of all ranks, for people. born: now. limits: see Limits. order: see StartOrder.
    """

    names: Sequence[str]
    spec: str
    limits: Limits
    born: float
    order: StartOrder = field(default_factory=StartOrder)
    leaving: bool = False
    epoch: int = 0
    run: int = 0
    failures: int = 0
    failure: dict[str, Any] | None = None
    _reports: dict[int, Report] = field(default_factory=dict)
    _running: set[int] = field(default_factory=set)
    _tried: int = 0
    _ended: float = 0
    _not_before: float = 0
    _stage: float = 0
    _began: float = 0
    _listened: bool = False
    _ready_since: float | None = None
    _fresh: bool = True
    _phase: str = "waiting"
    _summary: str = ""

    def __post_init__(self) -> None:
        self._ended = self._not_before = self.born

    def hear(self, rank: int, report: Report) -> None:
        """The words of another rank."""
        self._reports[rank] = report

    def tick(self, now: float, engine: Engine, health: Health) -> Decision:
        """One look."""
        act = ""
        if self._fresh:
            self._fresh = False
            if engine.state == RUNNING and engine.epoch:
                self._adopt(now, engine)
        self._tried = max([self._tried, engine.tried, *(int(r.body["tried"]) for r in self._reports.values())])
        if self.epoch:
            why = self._fault(now, engine, health)
            if why:
                self._end(now, *why)
            else:
                self._advance(now, engine, health)
        if not self.epoch:
            if engine.state in ALIVE or (engine.state == STOPPING and not self.leaving):
                act = "kill"
            self._phase, self._summary = self._obstacle(now, engine)
            if not self._summary:
                self._begin(now)
                act = "start"
        shown = view(self._phase, self._summary, self.epoch, self.failures, self.failure)
        body = {"epoch": self.epoch, "run": self.run, "begin": None, "spec": self.spec, "view": shown}
        return Decision(act, self.epoch, body, shown, frozenset(self._missing()) - {0})

    @property
    def complete(self) -> bool:
        """Whether every rank runs: then, and only then, a completion is worth asking for."""
        return bool(self.epoch) and len(self._running) == len(self.names)

    @property
    def health_of_others(self) -> dict[int, Mapping[str, Any]]:
        """Rank → what it tells of its own endpoint, of those that have one."""
        return {rank: report.body["health"] for rank, report in self._reports.items() if report.body.get("health")}

    @property
    def awaits_port(self) -> bool:
        """Whether the head's port of `StartOrder` must be looked for."""
        return bool(self.epoch and self.order.port) and len(self.names) > 1 and not self._listened

    def _missing(self) -> list[int]:
        """The ranks that have the order to start and do not run yet."""
        return [rank for rank in range(self.run) if rank not in self._running]

    def _adopt(self, now: float, engine: Engine) -> None:
        """The engine runs already: this supervisor follows one that ended. The others must be heard as ever."""
        self.epoch = engine.epoch
        self.run = len(self.names)
        self._running = set(range(self.run))
        self._stage = self._began = now
        self._listened = True  # or it did, and has closed it since
        self._phase, self._summary = "loading", WAITING
        silent = {"tried": 0, "state": RUNNING, "epoch": self.epoch, "fault": "", "lacks": "", "leaving": False}
        self._reports = {rank: Report(silent, now, now) for rank in range(1, self.run)}

    def _name(self, rank: int) -> str:
        return f"rank {rank} ({self.names[rank]})"

    def _obstacle(self, now: float, engine: Engine) -> tuple[str, str]:
        """Why no epoch can begin; empty when it can."""
        if self.leaving:
            return "stopping", BY_OPERATOR
        for rank in range(1, len(self.names)):
            report = self._reports.get(rank)
            if report is None or now - report.at > SILENCE_S or report.body["leaving"]:
                return "waiting", f"waiting for {self._name(rank)}"
        if engine.state != STOPPED:
            return "waiting", f"waiting for {self._name(0)} to stop"
        for rank, report in sorted(self._reports.items()):
            # what it reported before it knew of the end does not count
            if report.body["state"] != STOPPED or report.heard_at < self._ended:
                return "waiting", f"waiting for {self._name(rank)} to stop"
            if report.body["spec"] != self.spec:
                return "waiting", f"{self._name(rank)} has another launch: run site.yml"
        lacking = {0: engine.lacks, **{rank: report.body["lacks"] for rank, report in self._reports.items()}}
        for rank, lacks in sorted(lacking.items()):
            if lacks:
                return "waiting", f"{self._name(rank)}: {lacks}"
        if now < self._not_before:
            return "backoff", f"backoff {self._not_before - now:.0f} s"
        return "", ""

    def _begin(self, now: float) -> None:
        self._tried += 1
        self.epoch, self.run = self._tried, 1
        self._running = set()
        self._stage = self._began = now
        self._listened = False
        self._ready_since = None
        self._phase, self._summary = "starting", f"starting {self._name(0)}"

    def _fault(self, now: float, engine: Engine, health: Health) -> tuple[int, str, bool] | None:
        """The rank that ends the epoch, why, and whether that is a failure; None while all is well."""
        if self.leaving:
            return (0, BY_OPERATOR, False) if engine.state == STOPPED else None
        if self._stage != now and (engine.state not in ALIVE or engine.fault or engine.epoch != self.epoch):
            return 0, engine.fault or "its engine was started by somebody else", True
        for rank, report in sorted(self._reports.items()):
            found = self._fault_of(rank, report, now)
            if found:
                return rank, *found
        why = self._too_long(now, engine, health)
        return (next(iter(self._missing()), health.rank), why, True) if why else None

    def _fault_of(self, rank: int, report: Report, now: float) -> tuple[str, bool] | None:
        body = report.body
        if now - report.at > SILENCE_S:
            return f"not heard for {now - report.at:.0f} s", True
        if body["leaving"]:
            return (BY_OPERATOR, False) if body["state"] == STOPPED else None
        if body["tried"] == self.epoch and body["fault"]:
            return body["fault"], True
        if rank in self._running and (body["state"] != RUNNING or body["epoch"] != self.epoch):
            return "its engine no longer runs", True
        return None

    def _too_long(self, now: float, engine: Engine, health: Health) -> str:
        waited, deaf = now - self._stage, f"does not listen on port {self.order.port} after {self.limits.meet:.0f} s"
        if not self.complete:
            limit = self.limits.meet if self.run == 1 else START_S
            why = deaf if self.run == 1 and engine.state == RUNNING else f"did not start after {limit:.0f} s"
            return why if waited > limit else ""
        if health.hung:
            return health.summary
        if not health.answers and self.awaits_port and now - self._began > self.limits.meet:
            return deaf
        if not health.answers and waited > self.limits.ready:
            return f"not ready after {self.limits.ready:.0f} s; the endpoint answers: {health.summary}"
        return ""

    def _advance(self, now: float, engine: Engine, health: Health) -> None:
        """The next ranks, when those before them are there; ready, when a completion came from all of them."""
        self._listened = self._listened or engine.listens
        ordered = self._missing()
        self._running.update(rank for rank in ordered if self._is_there(rank, engine))
        missing = self._missing()
        if ordered and not missing:
            self._stage = now
            if self.run < len(self.names):
                self.run = len(self.names) if self.order.together else self.run + 1
                missing = self._missing()
        if self.leaving:
            self._phase, self._summary = "stopping", BY_OPERATOR
        elif missing:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            self._summary = f"starting {self._name(missing[0])}{more}"
        elif health.stalled:
            self._phase, self._summary = "stalled", health.summary
        elif health.answers:
            self._phase, self._summary = "ready", "ready"
            self._ready_since = now if self._ready_since is None else self._ready_since
        else:
            self._phase, self._summary = "loading", not_yet(health.summary)

    def _is_there(self, rank: int, engine: Engine) -> bool:
        if rank == 0:
            waits = self.awaits_port and not self.order.together
            return engine.state == RUNNING and not waits
        body = self._reports[rank].body
        return bool(body["state"] == RUNNING and body["epoch"] == self.epoch)

    def _end(self, now: float, rank: int, why: str, failed: bool) -> None:
        if failed:
            stable = self._ready_since is not None and now - self._ready_since >= STABLE_PAUSES * pause(self.failures)
            self.failures = 1 if stable else self.failures + 1
            self._not_before = now + pause(self.failures)
            self.failure = {"epoch": self.epoch, "rank": rank, "why": why}
        self.epoch = self.run = 0
        self._running = set()
        self._ready_since = None
        self._ended = now
