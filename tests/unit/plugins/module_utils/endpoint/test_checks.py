# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The findings of an endpoint, from what it answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.endpoint import checks

KEY = "sk-right"


class Engine:
    """A stand-in of an engine: what it answers is its attributes."""

    def __init__(self) -> None:
        self.model, self.key, self.streams, self.broken = "tiny", KEY, True, False
        self.unguarded, self.believes_host, self.embeds = ("/health",), False, False

    def ask(
        self, url: str, body: dict[str, Any] | None, key: str | None, *, method: str = "", host: str = ""
    ) -> checks.Answer:
        path = "/health" if host and self.believes_host else url.removeprefix("http://x")
        if self.key and key != self.key and path not in self.unguarded:
            return checks.Answer(401, "no")
        if method == "PATCH":
            return checks.Answer(405, "no such method")
        if path == "/openapi.json":
            return checks.Answer(404, "it does not list its paths")
        if url.endswith("/v1/models"):
            return checks.Answer(200, json.dumps({"data": [{"id": self.model}]}))
        assert body is not None
        if self.broken:
            return checks.Answer(500, "EngineDeadError")
        if body.get("stream"):
            return checks.Answer(200, chunks=("{}", "{}"), ended=self.streams, error="" if self.streams else "cut")
        if self.embeds and path != "/v1/embeddings":
            return checks.Answer(404, '{"detail":"Not Found"}')
        return checks.Answer(200, json.dumps({"data": [{"embedding": [0.1]}]} if self.embeds else {"choices": [{}]}))


def found(engine: Engine, **endpoint: Any) -> list[tuple[str, str]]:
    one = checks.Endpoint(**{"name": "tiny", "url": "http://x", "model": "tiny", "api_key": KEY} | endpoint)
    return [(check["code"], check["severity"]) for check in checks.look(one, engine.ask)]


WELL = [
    ("model-name", "pass"),
    ("key-required", "pass"),
    ("key-required", "pass"),
    ("paths-without-key", "pass"),
    ("host-header", "pass"),
    ("completion", "pass"),
    ("streaming", "pass"),
]


def test_an_endpoint_that_is_as_it_should_be() -> None:
    assert found(Engine()) == WELL


def test_an_endpoint_that_embeds() -> None:
    engine = Engine()
    engine.embeds = True
    assert found(engine, task="embed") == [*WELL[:5], ("embedding", "pass")]
    assert found(engine)[-2:] == [("completion", "fail"), ("streaming", "pass")], "asked for what it does not do"


def test_an_endpoint_that_embeds_and_does_not_ask_for_its_key() -> None:
    engine = Engine()
    engine.embeds, engine.key = True, ""
    assert found(engine, task="embed")[1:3] == [("key-required", "fail")] * 2


def test_another_model() -> None:
    assert found(Engine(), model="big")[0] == ("model-name", "fail")


def test_a_key_that_the_endpoint_does_not_ask_for() -> None:
    engine = Engine()
    engine.key = ""
    assert found(engine)[1:3] == [("key-required", "fail")] * 2


def test_a_guarded_endpoint_that_is_checked_without_a_key_is_not_called_another_key() -> None:
    one = checks.Endpoint(name="tiny", url="http://x", model="tiny")
    (only,) = checks.look(one, Engine().ask)
    assert only["severity"] == "fail" and "asks for a key (HTTP 401)" in only["message"]
    assert "another key" not in only["remedy"] and "api_key" in only["remedy"]


OPEN = ("/health", "/invocations", "/scale_elastic_ep", "/metrics")


@pytest.mark.parametrize(("place", "severity"), [("alone", "warn"), ("behind_router", "pass"), ("router", "fail")])
def test_paths_that_answer_everybody(place: str, severity: str) -> None:
    engine = Engine()
    engine.unguarded = OPEN
    one = checks.Endpoint("tiny", "http://x", True, "tiny", KEY, "vllm", place)
    found = next(check for check in checks.look(one, engine.ask) if check["code"] == "paths-without-key")
    assert found["severity"] == severity
    assert found["data"]["paths"] == {
        "the model": ["/invocations"],
        "control": ["/scale_elastic_ep"],
        "information": ["/metrics"],
    }
    assert "/health" not in found["message"], "a page of health may answer everybody"


@pytest.mark.parametrize(("place", "severity"), [("alone", "fail"), ("behind_router", "warn"), ("router", "fail")])
def test_a_host_header_that_skips_the_key(place: str, severity: str) -> None:
    engine = Engine()
    engine.believes_host = True
    assert ("host-header", severity) in found(engine, place=place)


def test_a_deployment_without_a_key_is_reported_as_open() -> None:
    engine = Engine()
    engine.key = ""
    assert ("key-required", "warn") in found(engine, api_key=None)


def test_a_wrong_key_in_the_inventory_is_one_finding() -> None:
    assert found(Engine(), api_key="sk-old") == [("endpoint-answers", "fail")]


def test_an_engine_that_is_dead_behind_its_health() -> None:
    engine = Engine()
    engine.broken = True
    assert found(engine)[-2:] == [("completion", "fail"), ("streaming", "fail")]


def test_a_stream_that_breaks_off() -> None:
    engine = Engine()
    engine.streams = False
    assert found(engine)[-2:] == [("completion", "pass"), ("streaming", "fail")]


def test_a_rank_that_must_not_serve() -> None:
    assert found(Engine(), serves=False) == [("endpoint-silent", "fail")]
    engine = Engine()
    engine.broken = True
    assert found(engine, serves=False) == [("endpoint-silent", "pass")]


def test_the_key_is_not_in_the_report() -> None:
    one = checks.Endpoint("tiny", "http://x", True, "tiny", KEY)
    assert KEY not in repr(one) + json.dumps(checks.look(one, Engine().ask))


@pytest.fixture
def server() -> Iterator[str]:
    """A real server that streams: two events, and an end only where the body asks for one token more than two."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'data: {"a": 1}\n\ndata: {"a": 2}\n\n' + (b"data: [DONE]\n\n" if body["end"] else b""))

        def do_GET(self) -> None:
            self.send_response(418 if self.path == "/" else 307)
            self.send_header("Location", "http://127.0.0.1:1/login")
            self.end_headers()
            self.wfile.write(b"a teapot")

        def log_message(self, *words: Any) -> None:
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{httpd.server_port}"
    httpd.shutdown()
    httpd.server_close()


def test_asking_by_http(server: str) -> None:
    ask = checks.asker(5)
    whole = ask(f"{server}/", {"stream": True, "end": True}, None)
    assert (whole.status, whole.chunks, whole.ended) == (200, ('{"a": 1}', '{"a": 2}'), True)
    assert ask(server, {"stream": True, "end": False}, None).error == "the stream ended without [DONE]"
    assert checks.asker(5, most_events=1)(server, {"stream": True, "end": True}, None).chunks == ('{"a": 1}',)
    assert ask(f"{server}/", None, None) == checks.Answer(418, "a teapot")
    assert ask(f"{server}/moved", None, KEY) == checks.Answer(307, "redirects to http://127.0.0.1:1/login")
    assert ask("http://127.0.0.1:1", None, None).status == 0
