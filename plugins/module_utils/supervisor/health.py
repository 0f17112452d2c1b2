# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether an endpoint that does not answer a small request is busy or hangs. Pure; private to this collection.

A request can wait long behind others, and a long prompt can hold an engine for a minute: silence alone proves nothing.
What proves work (decisions/137) is an answer; any movement of what only an engine at work moves in its metrics
(`metrics.work`); a batch in its log (`work_log`); and SGLang's own answer that something came from its scheduler a moment ago,
which costs a busy engine nothing (/health_generate in sglang/srt/entrypoints/http_server.py, 0.4.6.post5 to 0.5.23). Only an
endpoint whose metrics could be read, and that shows none of these, hangs. An engine without metrics (SGLang without
--enable-metrics) is never judged by slowness, only by errors; its own watchdog is left to do that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.endpoint import metrics
from ansible_collections.fullrank.serving.plugins.module_utils.supervisor import work_log
from ansible_collections.fullrank.serving.plugins.module_utils.supervisor.decisions import Health

STALLED_PART = 4
"""After the limit divided by this, a deployment without a sign of work is not ready any more; it is not yet killed."""

QUIET_PART = 8
"""After the limit divided by this, signs are looked for that cost more than metrics."""

OWN_CHECK = "/health_generate"
"""SGLang's: 200 when anything came from its scheduler within its own time-out of 20 s."""


class HealthProbe:
    """What was seen of the endpoint in one epoch. limit: seconds without a sign of work that are a hang; 0 for never."""

    def __init__(self, limit: float, now: float) -> None:
        self._limit = limit
        self._sign_at = now
        self._work: Mapping[str, list[float]] = {}
        self._answered = False
        self._summary = "no request yet"
        self._slow = False

    def completion(self, answer: Mapping[str, Any], now: float) -> None:
        """A small request was sent: what ``answer.ask`` returned."""
        self._summary = str(answer["error"])
        if answer["ready"]:
            self._answered = True
            self._sign_at = now
        # 429: the queue is full; a time-out: it may be
        self._slow = answer["status"] == 429 or "timed out" in self._summary

    def metrics(self, text: str, now: float) -> None:
        """The metrics were read; empty when they could not be."""
        work = metrics.work(metrics.parse(text))
        if work and self._work and work != self._work:
            self._sign_at = now
        self._work = work or self._work

    def logged(self, lines: str, now: float) -> None:
        """What the engine has logged a moment ago."""
        if work_log.works(lines):
            self._sign_at = now

    def own_check(self, status: int, now: float) -> None:
        """OWN_CHECK was asked."""
        if status == 200:
            self._sign_at = now

    def is_quiet(self, now: float) -> bool:
        """Whether it is time to look for every sign. Not where it answers errors: an engine can work on without an answer."""
        return bool(self._limit and self._answered and self._slow) and now - self._sign_at > self._limit / QUIET_PART

    def health(self, now: float) -> Health:
        """What that means."""
        silent = now - self._sign_at
        judged = self._answered and self._limit and (self._work or not self._slow)
        if not judged or silent <= self._limit / STALLED_PART:
            return Health(answers=self._answered, summary=self._summary)
        summary = f"no answer and no sign of work for {silent:.0f} s" + (f": {self._summary}" if self._summary else "")
        return Health(answers=True, stalled=True, hung=silent > self._limit, summary=summary)
