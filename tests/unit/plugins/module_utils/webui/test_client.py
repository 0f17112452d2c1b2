# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether Open WebUI is healthy, from what it answers."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.common import http_client
from ansible_collections.fullrank.serving.plugins.module_utils.systemd.service import Hopeless
from ansible_collections.fullrank.serving.plugins.module_utils.webui import client

WELL = http_client.Answer(200, body=b"{}")


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        ({}, ""),
        ({"/health": http_client.Answer(0, error="refused")}, "/health answers refused"),
        ({"/health": http_client.Answer(500, body=b"no database")}, "/health answers 500"),
        ({"/health": http_client.Answer(200, body=b"<html>")}, "/health answers Expecting value"),
        (
            {"/api/config": http_client.Answer(200, body=b"{", error=http_client.TIMED_OUT)},
            "/api/config answers timed out",
        ),
        ({"/api/config": http_client.Answer(307)}, "/api/config answers 307"),
    ],
)
def test_healthy(monkeypatch: pytest.MonkeyPatch, answers: dict[str, http_client.Answer], why: str) -> None:
    monkeypatch.setattr(http_client, "request", lambda url, **_how: answers.get(url.removeprefix("http://x"), WELL))
    found = client.unhealthy("http://x")
    assert found.startswith(why) and bool(found) is bool(why)


def test_without_an_administrator_waiting_is_hopeless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        http_client, "request", lambda _url, **_how: http_client.Answer(200, body=b'{"onboarding": true}')
    )
    with pytest.raises(Hopeless, match="no administrator"):
        client.unhealthy("http://x")


def test_a_login_is_its_status(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []

    def request(url: str, *, body: Any, **_how: Any) -> http_client.Answer:
        made.append((url, body))
        return http_client.Answer(400, body=b"wrong")

    monkeypatch.setattr(http_client, "request", request)
    assert client.log_in("http://x", "a@b.c", "word") == 400
    assert made == [("http://x/api/v1/auths/signin", {"email": "a@b.c", "password": "word"})]
