# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module webui_check against an HTTP server that stands in for Open WebUI."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.modules import webui_check
from module_runner import call

PASSWORD = "correct-horse"


class OpenWebui(BaseHTTPRequestHandler):
    models = ("tiny",)

    def answer(self, status: int, body: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def do_GET(self) -> None:
        if self.path == "/health":
            self.answer(200, "{}")
        elif self.headers.get("Authorization") != "Bearer token":
            self.answer(401, "{}")
        else:
            self.answer(200, json.dumps({"data": [{"id": name} for name in self.models]}))

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/api/v1/auths/signin":
            right = body == {"email": "admin@example.com", "password": PASSWORD}
            self.answer(200 if right else 400, json.dumps({"token": "token"} if right else {}))
        else:
            self.answer(200, 'data: {"choices": [{}]}\n\ndata: [DONE]\n\n')

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), OpenWebui)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def backend(*models: str, error: str = "") -> dict[str, Any]:
    return {"name": "gpu1", "url": "http://gpu1:8000/v1", "models": list(models), "error": error}


def check(url: str, *backends: dict[str, Any], password: str = PASSWORD, **args: Any) -> dict[str, Any]:
    params = {"name": "chat", "url": url, "email": "admin@example.com", "password": password, "timeout": 5}
    return call(webui_check, backends=list(backends), **params, **args)


def statuses(result: dict[str, Any]) -> dict[str, str]:
    return {one["code"]: one["severity"] for one in result["checks"]}


@pytest.mark.parametrize("check_mode", [False, True])
def test_a_chat_that_answers(url: str, check_mode: bool) -> None:
    result = check(url, backend("tiny"), check_mode=check_mode)
    assert result["changed"] is False
    names = ("chat-answers", "login-required", "chat-models", "chat-streaming")
    assert statuses(result) == dict.fromkeys(names, "pass")


def test_findings_do_not_fail_the_task(url: str) -> None:
    result = check(url, backend("tiny", "other"), backend(error="HTTP 401: its key is refused"))
    assert "failed" not in result
    assert statuses(result)["chat-models"] == "fail" and statuses(result)["chat-backend"] == "fail"
    assert statuses(check(url, backend(error="x"), backends_required=False))["chat-backend"] == "warn"


def test_a_password_that_is_not_the_inventorys_is_a_warning_and_never_shown(url: str) -> None:
    result = check(url, backend("tiny"), password="wrong-horse")
    assert statuses(result)["chat-models"] == "warn" and "wrong-horse" not in json.dumps(result["checks"])


def test_a_chat_that_is_gone_is_one_finding() -> None:
    assert statuses(check("http://127.0.0.1:9", backend("tiny"))) == {"chat-answers": "fail"}


def test_url_and_password_are_required() -> None:
    assert "missing required arguments" in call(webui_check, name="chat")["msg"]
