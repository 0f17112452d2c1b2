# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asking for one token, against an endpoint on loopback that behaves in every way endpoints do."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import yaml
from ansible_collections.fullrank.serving.plugins.doc_fragments import endpoint
from ansible_collections.fullrank.serving.plugins.module_utils.common import http_client
from ansible_collections.fullrank.serving.plugins.module_utils.endpoint import answer
from ansible_collections.fullrank.serving.plugins.modules import diagnose, rank_info

GOOD = json.dumps({"choices": [{"text": "x"}]})
ANSWERS = {
    "good": (200, GOOD),
    "no-choices": (200, '{"choices": []}'),
    "no-json": (200, "<html>"),
    "a-list": (200, "[1]"),
    "loading": (503, "still loading"),
    "dead": (500, "EngineCore encountered an issue"),
}


class Endpoint(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if request["model"] == "slow":
            time.sleep(1)
            return
        status, body = ANSWERS.get(request["model"], (200, GOOD))
        if request["model"] == "guarded" and self.headers.get("Authorization") != "Bearer right":
            status, body = 401, '{"error": "Unauthorized"}'
        if self.path == "/v1/embeddings":
            status, body = 200, json.dumps({"data": [{"embedding": [0.5] if request["input"] == "ping" else []}]})
        elif request["max_tokens"] != 1 or self.path != "/v1/completions":
            status, body = 400, "one token, please"
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *arguments: object) -> None:
        """Quiet."""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("model", "key", "status", "error"),
    [
        ("good", None, 200, ""),
        ("guarded", "right", 200, ""),
        ("guarded", "wrong", 401, "HTTP 401: {"),
        ("no-choices", None, 200, "an answer without choices"),
        ("no-json", None, 200, "Expecting value"),
        ("a-list", None, 200, "'list' object"),
        ("loading", None, 503, "HTTP 503: still loading"),
        ("dead", None, 500, "HTTP 500: EngineCore"),
    ],
)
def test_ready_is_a_completion_and_nothing_less(url: str, model: str, key: str | None, status: int, error: str) -> None:
    found = answer.ask(url, model, key, timeout=5)
    assert found["status"] == status
    assert found["ready"] is (error == "")
    assert found["error"].startswith(error)
    assert bool(found["error"]) is not found["ready"]


def test_an_embedding_model_is_ready_by_an_embedding(url: str) -> None:
    assert answer.ask(url, "minilm", None, timeout=5, task="embed", engine="vllm")["ready"]
    assert "without an embedding" in answer.wrong(answer.tasks.smallest("embed"), '{"data": [{"embedding": []}]}')


def test_an_endpoint_that_hangs_is_not_ready(url: str) -> None:
    found = answer.ask(url, "slow", None, timeout=0.2)
    assert (found["ready"], found["error"]) == (False, "timed out")


def test_no_process_listens() -> None:
    found = answer.ask("http://127.0.0.1:1", "good", None, timeout=1)
    assert (found["ready"], found["status"]) == (False, 0)
    assert "refused" in found["error"]


def test_what_a_module_was_given_is_what_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[Any, ...]] = []

    def ask(*words: Any, **more: Any) -> dict[str, Any]:
        sent.append((*words, more))
        return {"ready": True}

    monkeypatch.setattr(answer, "ask", ask)
    params = {"url": "https://h:1", "model": "m", "api_key": "k", "timeout": 3.0, "certificate": "/c.pem"}
    assert answer.of_options({**params, "task": "embed", "engine": "sglang", "deployment": "d"}) == {"ready": True}
    trust = http_client.Trust(certificate="/c.pem")
    assert sent == [("https://h:1", "m", "k", 3.0, trust, {"task": "embed", "engine": "sglang"})]


def test_the_options_are_documented_once_and_as_they_are() -> None:
    documented = yaml.safe_load(endpoint.ModuleDocFragment.DOCUMENTATION)["options"]
    assert list(documented) == list(answer.OPTIONS)
    for name, option in answer.OPTIONS.items():
        assert {key: one for key, one in option.items() if key != "no_log"} == {
            key: one for key, one in documented[name].items() if key != "description"
        }
    for module in (diagnose, rank_info):
        own = yaml.safe_load(module.DOCUMENTATION)
        assert "fullrank.serving.endpoint" in own["extends_documentation_fragment"]
        assert not set(own["options"]) & set(answer.OPTIONS)
