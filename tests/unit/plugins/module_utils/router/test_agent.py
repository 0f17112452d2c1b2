# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the router's watcher makes of the answers of supervisors and of the balancer."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.common import http_client
from ansible_collections.fullrank.serving.plugins.module_utils.router import agent


def answering(monkeypatch: pytest.MonkeyPatch, answer: http_client.Answer) -> list[dict[str, Any]]:
    """Give every request this answer; the requests, as they are made."""
    made: list[dict[str, Any]] = []

    def request(url: str, **how: Any) -> http_client.Answer:
        made.append({"url": url, **how})
        return answer

    monkeypatch.setattr(http_client, "request", request)
    return made


@pytest.mark.parametrize(
    ("answer", "ready", "summary"),
    [
        (http_client.Answer(200, body=b'{"summary": "all ranks run"}'), True, "all ranks run"),
        (http_client.Answer(200, body=b'{"x": 1}'), True, "ready"),
        (http_client.Answer(503, body=b'{"summary": "rank 1 is missing"}'), False, "rank 1 is missing"),
        (http_client.Answer(503, body=b"<html>"), False, "HTTP 503"),
        (http_client.Answer(503, error=http_client.TIMED_OUT), False, "HTTP 503"),
        (http_client.Answer(200, body=b"[1]"), None, "its supervisor is not heard: no JSON object"),
        (
            http_client.Answer(200, body=b'{"summ', error=http_client.TIMED_OUT),
            None,
            "its supervisor is not heard: timed out",
        ),
        (http_client.Answer(0, error="refused"), None, "its supervisor is not heard: refused"),
    ],
)
def test_a_supervisor_is_ready_not_ready_or_not_heard(
    monkeypatch: pytest.MonkeyPatch, answer: http_client.Answer, ready: bool | None, summary: str
) -> None:
    answering(monkeypatch, answer)
    assert agent.ask("http://192.0.2.1:9/ready") == (ready, summary)


def test_the_balancer_answers_in_json(monkeypatch: pytest.MonkeyPatch) -> None:
    made = answering(monkeypatch, http_client.Answer(202, body=b'{"workers": []}'))
    assert agent.call("POST", "http://127.0.0.1:1/workers", {"url": "x"}) == {"workers": []}
    assert (made[0]["method"], made[0]["body"]) == ("POST", {"url": "x"})


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (http_client.Answer(404, body=b'{"workers": []}'), "HTTP 404"),
        (http_client.Answer(307, body=b'{"workers": []}'), "HTTP 307"),
        (http_client.Answer(200, body=b"{}", error="the answer ended 5 bytes early"), "5 bytes early"),
    ],
)
def test_a_balancer_that_refuses(monkeypatch: pytest.MonkeyPatch, answer: http_client.Answer, reason: str) -> None:
    answering(monkeypatch, answer)
    with pytest.raises(OSError, match=reason):
        agent.call("GET", "http://127.0.0.1:1/workers")
