# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a supervisor wants of its endpoint, and when. (The program as a whole: tests/faults, molecule.)"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.common import http_client
from ansible_collections.fullrank.serving.plugins.module_utils.supervisor import agent

LIMIT = 120
BATCH = "[2026-12-01 10:00:00] Decode batch, #running-req: 2\n"


class Looked:
    """A probe whose threads do not run, and what its closer look wanted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, log: str, check: int) -> None:
        self.urls: list[str] = []
        self.logs: list[float] = []
        monkeypatch.setattr(agent.threading, "Thread", lambda **_unused: SimpleNamespace(start=lambda: None))
        monkeypatch.setattr(agent.http_client, "request", self._request)
        self._log, self._check = log, check
        trust = http_client.Trust()
        config = {"url": "http://127.0.0.1:8000", "model": "m"}
        self.probe = agent.EndpointProbe(config, None, trust=trust, log=self._lines, limit=LIMIT, now=0)
        self.probe._probe.completion({"ready": True, "status": 200, "error": ""}, 0)
        self.probe._probe.metrics("sglang:num_running_reqs 2\n", 0)

    def _request(self, url: str, **_unused: Any) -> SimpleNamespace:
        self.urls.append(url)
        return SimpleNamespace(status=self._check)

    def _lines(self, seconds: float) -> str:
        self.logs.append(seconds)
        return self._log

    def look(self, now: float, error: str = "timed out") -> bool:
        """One closer look; whether the endpoint is stalled after it."""
        self.probe.now = now
        self.probe._probe.completion({"ready": False, "status": 0, "error": error}, now)
        rounds = iter((False, True))
        self.probe._over.wait = lambda _seconds: next(rounds)  # type: ignore[method-assign, assignment, misc]
        self.probe._closer()
        return self.probe.health(now).stalled


def test_nothing_more_is_asked_while_there_are_signs_or_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = Looked(monkeypatch, "", 404)
    assert not looked.look(10)
    assert looked.look(60, error="HTTP 500")
    assert (looked.logs, looked.urls) == ([], [])


def test_a_batch_in_the_log_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = Looked(monkeypatch, BATCH, 503)
    assert not looked.look(60)
    assert (len(looked.logs), looked.urls) == (1, [])


@pytest.mark.parametrize(("check", "stalled"), [(200, False), (503, True), (404, True), (0, True)])
def test_the_engines_own_check_is_asked_last(monkeypatch: pytest.MonkeyPatch, check: int, stalled: bool) -> None:
    looked = Looked(monkeypatch, "", check)
    assert looked.look(60) is stalled
    assert looked.urls == ["http://127.0.0.1:8000/health_generate"]


def test_the_request_follows_the_task_of_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    urls: list[str] = []
    body = b'{"data": [{"embedding": [0.1]}]}'

    def request(url: str, **_unused: Any) -> http_client.Answer:
        urls.append(url)
        return http_client.Answer(200, body=body)

    monkeypatch.setattr(agent.threading, "Thread", lambda **_unused: SimpleNamespace(start=lambda: None))
    monkeypatch.setattr(agent.http_client, "request", request)
    config = {"url": "http://x", "model": "m", "task": "embed", "engine": "vllm"}
    probe = agent.EndpointProbe(config, None, trust=http_client.Trust(), log=lambda _s: "", limit=LIMIT, now=0)
    rounds = iter((False, True))
    probe._over.is_set = lambda: next(rounds)  # type: ignore[method-assign]
    probe._over.wait = lambda _seconds: True  # type: ignore[method-assign, assignment, misc]
    probe._answers()
    assert urls == ["http://x/v1/embeddings"] and probe.health(1).answers
