# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the router's watcher makes of the answers of supervisors and of the balancer."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.common import http
from ansible_collections.fullrank.serving.plugins.module_utils.router import agent


def answering(monkeypatch: pytest.MonkeyPatch, answer: http.Answer) -> list[dict[str, Any]]:
    """Give every request this answer; the requests, as they are made."""
    made: list[dict[str, Any]] = []

    def request(url: str, **how: Any) -> http.Answer:
        made.append({"url": url, **how})
        return answer

    monkeypatch.setattr(http, "request", request)
    return made


@pytest.mark.parametrize(
    ("answer", "ready", "summary"),
    [
        (http.Answer(200, body=b'{"summary": "all ranks run"}'), True, "all ranks run"),
        (http.Answer(200, body=b'{"x": 1}'), True, "ready"),
        (http.Answer(503, body=b'{"summary": "rank 1 is missing"}'), False, "rank 1 is missing"),
        (http.Answer(503, body=b"<html>"), False, "HTTP 503"),
        (http.Answer(503, error=http.TIMED_OUT), False, "HTTP 503"),
        (http.Answer(200, body=b"[1]"), None, "its supervisor is not heard: no JSON object"),
        (http.Answer(200, body=b'{"summ', error=http.TIMED_OUT), None, "its supervisor is not heard: timed out"),
        (http.Answer(0, error="refused"), None, "its supervisor is not heard: refused"),
    ],
)
def test_a_supervisor_is_ready_not_ready_or_not_heard(
    monkeypatch: pytest.MonkeyPatch, answer: http.Answer, ready: bool | None, summary: str
) -> None:
    answering(monkeypatch, answer)
    assert agent.ask("http://192.0.2.1:9/ready") == (ready, summary)


def test_the_balancer_answers_in_json(monkeypatch: pytest.MonkeyPatch) -> None:
    made = answering(monkeypatch, http.Answer(202, body=b'{"workers": []}'))
    assert agent.call("POST", "http://127.0.0.1:1/workers", {"url": "x"}) == {"workers": []}
    assert (made[0]["method"], made[0]["body"]) == ("POST", {"url": "x"})


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (http.Answer(404, body=b'{"workers": []}'), "HTTP 404"),
        (http.Answer(307, body=b'{"workers": []}'), "HTTP 307"),
        (http.Answer(200, body=b"{}", error="the answer ended 5 bytes early"), "5 bytes early"),
    ],
)
def test_a_balancer_that_refuses(monkeypatch: pytest.MonkeyPatch, answer: http.Answer, reason: str) -> None:
    answering(monkeypatch, answer)
    with pytest.raises(OSError, match=reason):
        agent.call("GET", "http://127.0.0.1:1/workers")
