# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine of this node, looked at and handled in threads of their own. Private to this collection.

`systemctl start` takes as long as what the unit does before its command, and every command takes long on a busy node or while
systemd reads its units again. A supervisor that waited for it would be silent, and a silent rank ends its group.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

from ansible_collections.fullrank.serving.plugins.module_utils.supervisor import decisions
from ansible_collections.fullrank.serving.plugins.module_utils.supervisor.decisions import Engine
from ansible_collections.fullrank.serving.plugins.module_utils.supervisor.engine import LocalEngine
from ansible_collections.fullrank.serving.plugins.module_utils.systemd.notify import say

LOOK_WAIT_S = 0.3
"""For how long a look is waited for; one that takes longer counts from the next tick on."""

LOOK_OLD_S = 20.0
"""An engine that could not be looked at for so long has a fault. Longer than a reload of systemd's on a busy node."""

NOTE_AGAIN_S = 30.0
"""Between two attempts to note what could not be written."""


class _Hand:
    """A thread that does one thing at a time, as often as it is requested; a request while it is busy is dropped."""

    def __init__(self, act: Callable[[], None]) -> None:
        self._act = act
        self._requested = threading.Event()
        threading.Thread(target=self._work, daemon=True).start()

    @property
    def is_busy(self) -> bool:
        return self._requested.is_set()

    def ask(self) -> None:
        self._requested.set()

    def _work(self) -> None:
        while True:
            self._requested.wait()
            try:
                self._act()
            except Exception as error:  # whatever it is, this hand is needed for the next kill
                say(f"{type(error).__name__}: {error}")
            self._requested.clear()


class EngineWorker:
    """What a supervisor does with its engine; no call takes longer than LOOK_WAIT_S. Times as in `decisions`."""

    def __init__(self, engine: LocalEngine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._looked = threading.Event()
        self._question = (0.0, False)
        self._seen: Engine | None = None
        self._seen_at = 0.0
        self._starts = 0  # begun and ended: a look that one of them fell into tells nothing
        self._epoch = 0  # of the start that no look has seen the end of
        self._noted_epoch = self._note_epoch = 0
        self._note_at = float("-inf")
        self._note_trouble = ""
        self._look_hand = _Hand(self._look)
        self._start_hand = _Hand(self._start)
        self._kill_hand, self._stop_hand = _Hand(engine.kill), _Hand(engine.stop)
        self._note_hand = _Hand(self._note)

    @property
    def is_starting(self) -> bool:
        """Whether a start is not over: what follows this process would not know of it."""
        return self._start_hand.is_busy

    @property
    def troubles(self) -> list[str]:
        """What could not be written, for people."""
        return [one for one in (self._engine.trouble, self._note_trouble) if one]

    def look(self, now: float, port_matters: bool) -> Engine | None:
        """What was seen last; None before the first look. port_matters: whether it is to be seen whether the head listens."""
        if not self._look_hand.is_busy:
            self._question = (now, port_matters)
            self._looked.clear()
            self._look_hand.ask()
        self._looked.wait(LOOK_WAIT_S)
        with self._lock:
            if self._epoch:
                return Engine(decisions.STARTING, self._epoch, self._epoch)
            if self._seen is None or now - self._seen_at <= LOOK_OLD_S:
                return self._seen
            silent = f"systemd has not answered about it for {now - self._seen_at:.0f} s"
            if self._seen.state == decisions.STOPPED:
                return replace(self._seen, lacks=self._seen.lacks or silent)
            return replace(self._seen, fault=self._seen.fault or silent)

    def start(self, epoch: int) -> None:
        """Start it in ``epoch``; the looks tell what came of it."""
        with self._lock:
            if self._epoch:
                return
            self._epoch = epoch
            self._starts += 1
            self._start_hand.ask()

    def kill(self) -> None:
        """End all its processes at once."""
        self._kill_hand.ask()

    def stop(self) -> None:
        """Ask it to end."""
        self._stop_hand.ask()

    def log(self, seconds: float) -> str:
        """What it has logged in the last so many seconds. For another thread than that of the supervisor: this may take long."""
        return self._engine.log(seconds)

    def note_ready(self, epoch: int, now: float) -> None:
        """Have it noted, once in an epoch, that it was ready; what fails is tried again later."""
        if epoch == self._noted_epoch or self._note_hand.is_busy:
            return
        if epoch == self._note_epoch and now - self._note_at < NOTE_AGAIN_S:
            return
        self._note_epoch, self._note_at = epoch, now
        self._note_hand.ask()

    def _look(self) -> None:
        now, port_matters = self._question
        with self._lock:
            starts = self._starts
        try:
            seen = self._engine.look(now, port_matters)
        except OSError:  # no descriptor or memory to look with: what was seen last holds, for a while
            seen = None
        with self._lock:
            if seen and starts == self._starts and not self._start_hand.is_busy:
                self._seen, self._seen_at, self._epoch = seen, now, 0
        self._looked.set()

    def _start(self) -> None:
        try:
            self._engine.start(self._epoch)
        finally:
            with self._lock:
                self._starts += 1

    def _note(self) -> None:
        epoch = self._note_epoch
        try:
            if self._engine.note_ready():
                self._noted_epoch = epoch
            self._note_trouble = ""
        except OSError as error:
            self._note_trouble = f"cannot write {self._engine.ready_mark}: {error.strerror}"
