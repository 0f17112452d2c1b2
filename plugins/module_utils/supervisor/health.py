# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether an endpoint that does not answer a small completion is busy or hangs. Pure; private to this collection.

A completion can wait long behind others, and a long prompt can hold an engine for a minute: silence alone proves nothing.
What proves work is a completion, or any movement of the engine's own counters of tokens. Only an endpoint whose counters
could be read, and that shows neither, hangs. An engine without counters (SGLang without --enable-metrics) is never
judged by slowness, only by errors; its own watchdog is left to do that.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.supervisor.decisions import Health

# "vllm:generation_tokens_total{…} 42.0", "sglang:prompt_tokens_total …", "vllm:iteration_tokens_total_sum …"
_TOKENS = re.compile(r"^[A-Za-z_:]*tokens[A-Za-z_]*_(?:total|sum|count)(?:\{.*\})? ([0-9.eE+]+)", re.MULTILINE)

STALLED_PART = 4
"""After the limit divided by this, a deployment without a sign of work is not ready any more; it is not yet killed."""


def tokens(metrics: str) -> float | None:
    """The sum of all counters of tokens in a Prometheus text; None when there is none."""
    found = _TOKENS.findall(metrics)
    return sum(float(value) for value in found) if found else None


class HealthProbe:
    """What was seen of the endpoint in one epoch. limit: seconds without a sign of work that are a hang; 0 for never."""

    def __init__(self, limit: float, now: float) -> None:
        self._limit = limit
        self._sign_at = now
        self._tokens: float | None = None
        self._answered = False
        self._summary = "no request yet"
        self._slow = False

    def completion(self, answer: Mapping[str, Any], now: float) -> None:
        """A completion was asked for: what ``completion.ask`` returned."""
        self._summary = str(answer["error"])
        if answer["ready"]:
            self._answered = True
            self._sign_at = now
        # 429: the queue is full; a time-out: it may be
        self._slow = answer["status"] == 429 or "timed out" in self._summary

    def metrics(self, text: str, now: float) -> None:
        """The metrics were read; empty when they could not be."""
        count = tokens(text)
        if count is None:
            return
        if self._tokens is not None and count != self._tokens:
            self._sign_at = now
        self._tokens = count

    def health(self, now: float) -> Health:
        """What that means."""
        silent = now - self._sign_at
        judged = self._answered and self._limit and (self._tokens is not None or not self._slow)
        if not judged or silent <= self._limit / STALLED_PART:
            return Health(answers=self._answered, summary=self._summary)
        summary = f"no completion and no token for {silent:.0f} s" + (f": {self._summary}" if self._summary else "")
        return Health(answers=True, stalled=True, hung=silent > self._limit, summary=summary)
