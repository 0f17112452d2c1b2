# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The progress of work on a node in one line, and which of these lines are shown. Pure; private to this collection."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common import human

WINDOW_S = 20.0

Progress = Mapping[str, Any]
"""As fetch, conversion and transfer write it on the node: phase, bytes, total, files_done, files, at (seconds since the epoch),
and for a transfer source (the node that the bytes come from)."""


@dataclass
class Rate:
    """Bytes per second over the last `WINDOW_S`, by the node's clock."""

    seen: deque[tuple[float, int]] = field(default_factory=deque)
    phase: str = ""

    def of(self, progress: Progress) -> float | None:
        """The rate of the current phase; None as long as it is not known."""
        if progress.get("phase") != self.phase:
            self.phase = str(progress.get("phase"))
            self.seen.clear()
        now = float(progress.get("at", 0.0))
        if not self.seen or now > self.seen[-1][0]:
            self.seen.append((now, int(progress.get("bytes", 0))))
        while len(self.seen) > 2 and self.seen[1][0] <= now - WINDOW_S:
            self.seen.popleft()
        (first, before), (last, bytes_now) = self.seen[0], self.seen[-1]
        return max(0.0, (bytes_now - before) / (last - first)) if last > first else None


def line(progress: Progress, rate: float | None) -> str:
    """``fetching 12.3 GB of 689.0 GB (1.8 %), 412.0 MB/s, 27 min left, 5 of 163 files``."""
    done, total = int(progress.get("bytes", 0)), int(progress.get("total", 0))
    text = str(progress.get("phase") or "starting")
    if not total:
        return text
    text += f" {human.decimal(done)} of {human.decimal(total)} ({100 * done / total:.1f} %)"
    if rate is not None and done < total:
        text += f", {human.rate(rate)}, {human.duration((total - done) / rate)} left" if rate else ", nothing arrives"
    text += f", {progress.get('files_done', 0)} of {progress.get('files', 0)} files"
    return text + (f", from {progress['source']}" if progress.get("source") else "")


@dataclass
class Reporter:
    """Chooses the lines to show: each change of phase at once, other changes and unchanged lines at intervals."""

    every_s: float = 10.0
    """Between two lines of one phase."""
    unchanged_s: float = 60.0
    """Before the same line is shown again, as a sign that the wait goes on."""
    _shown: tuple[str, str] = field(default=("", ""), init=False)
    _when: float = field(default=float("-inf"), init=False)

    def due(self, now: float, phase: str, text: str) -> bool:
        """Whether ``text`` is shown at ``now`` (seconds of any clock); remembers that it was."""
        since = now - self._when
        if phase == self._shown[0] and since < (self.unchanged_s if text == self._shown[1] else self.every_s):
            return False
        self._shown, self._when = (phase, text), now
        return True
