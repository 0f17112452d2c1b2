# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands that take long, or never end, beside a supervisor that must go on."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.supervisor import engine_worker
from ansible_collections.fullrank.serving.plugins.module_utils.supervisor.decisions import (
    RUNNING,
    STARTING,
    STOPPED,
    Engine,
)
from ansible_collections.fullrank.serving.plugins.module_utils.supervisor.engine_worker import LOOK_OLD_S, EngineWorker

WAIT_S = 20.0


class SlowEngine:
    """A LocalEngine whose commands wait until they are let go."""

    def __init__(self) -> None:
        self.seen: Engine | None = Engine(STOPPED)
        self.trouble, self.ready_mark = "", "/var/lib/fullrank/x.ready"
        self.looks, self.starts = threading.Event(), threading.Event()
        self.looks.set()
        self.calls: list[str] = []
        self.note_error: OSError | None = None

    def look(self, now: float, starting: bool) -> Engine | None:
        seen = self.seen
        self.looks.wait()
        return seen

    def start(self, epoch: int) -> None:
        self.calls.append(f"start {epoch}")
        self.starts.wait()
        self.seen = Engine(RUNNING, epoch, epoch)

    def kill(self) -> None:
        self.calls.append("kill")
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    def stop(self) -> None:
        self.calls.append("stop")

    def note_ready(self) -> bool:
        self.calls.append("note")
        if self.note_error:
            raise self.note_error
        return True


@pytest.fixture
def engine() -> Iterator[SlowEngine]:
    one = SlowEngine()
    yield one
    one.looks.set()
    one.starts.set()


@pytest.fixture
def worker(engine: SlowEngine) -> EngineWorker:
    return EngineWorker(engine)  # type: ignore[arg-type]


def soon(condition: Callable[[], bool]) -> None:
    """Wait until it is so."""
    until = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < until, "not within the time"
        time.sleep(0.01)


def state(worker: EngineWorker, now: float = 1.0) -> Engine:
    seen = worker.look(now, False)
    assert seen is not None
    return seen


def test_a_start_that_takes_long_is_reported_as_such_and_is_made_once(engine: SlowEngine, worker: EngineWorker) -> None:
    soon(lambda: worker.look(1.0, False) is not None)
    worker.start(7)
    worker.start(7)
    for _ in range(3):
        assert state(worker) == Engine(STARTING, 7, 7)
    assert worker.is_starting
    worker.kill()
    soon(lambda: "kill" in engine.calls)  # it does not wait for the start
    engine.starts.set()
    soon(lambda: state(worker) == Engine(RUNNING, 7, 7))
    assert engine.calls.count("start 7") == 1 and not worker.is_starting


def test_a_look_from_before_the_start_does_not_count_after_it(engine: SlowEngine, worker: EngineWorker) -> None:
    soon(lambda: worker.look(1.0, False) is not None)
    engine.looks.clear()
    worker.look(2.0, False)  # it sees a stopped engine, and takes its time to say so
    engine.starts.set()
    worker.start(7)
    soon(lambda: not worker.is_starting)
    engine.looks.set()
    seen = {state(worker).state for _ in range(5)}
    assert STOPPED not in seen
    soon(lambda: state(worker) == Engine(RUNNING, 7, 7))


def test_before_the_first_look_nothing_is_known_and_an_old_one_is_a_fault(
    engine: SlowEngine, worker: EngineWorker
) -> None:
    engine.looks.clear()
    engine.seen = Engine(RUNNING, 3, 3)
    assert worker.look(1.0, False) is None
    engine.looks.set()
    soon(lambda: worker.look(1.0, False) == Engine(RUNNING, 3, 3))
    engine.seen = None  # systemd answers nothing
    assert not state(worker, 1.0 + LOOK_OLD_S).fault
    assert state(worker, 2.0 + LOOK_OLD_S).fault == f"systemd has not answered about it for {LOOK_OLD_S + 1:.0f} s"
    engine.seen = Engine(STOPPED)
    soon(lambda: state(worker, 30.0) == Engine(STOPPED))
    engine.seen = None
    assert state(worker, 31.0 + LOOK_OLD_S).lacks and not state(worker, 31.0 + LOOK_OLD_S).fault


def test_a_command_that_fails_is_not_the_last(engine: SlowEngine, worker: EngineWorker) -> None:
    for count in (1, 2, 3):
        soon(lambda: (worker.kill(), engine.calls.count("kill") >= count)[1])  # noqa: B023
    worker.stop()
    soon(lambda: "stop" in engine.calls)


def test_what_cannot_be_noted_is_reported_and_tried_again_later(engine: SlowEngine, worker: EngineWorker) -> None:
    engine.note_error = OSError(errno.EROFS, "Read-only file system")
    worker.note_ready(3, 1.0)
    soon(lambda: bool(worker.troubles))
    assert worker.troubles == ["cannot write /var/lib/fullrank/x.ready: Read-only file system"]
    engine.trouble = "cannot write /run/fullrank/x.epoch: No space left on device"
    assert len(worker.troubles) == 2
    engine.note_error, engine.trouble = None, ""
    worker.note_ready(3, 2.0)
    assert engine.calls == ["note"]
    worker.note_ready(3, 2.0 + engine_worker.NOTE_AGAIN_S)
    soon(lambda: not worker.troubles)
    worker.note_ready(3, 1000.0)
    worker.note_ready(4, 1000.0)  # another epoch
    soon(lambda: len(engine.calls) == 3)
