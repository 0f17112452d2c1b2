# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module `endpoint_check`: it reports what a client gets, and fails no task for it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.modules import endpoint_check
from module_runner import call


@pytest.fixture
def server() -> Iterator[str]:
    """Answers every request with a completion, whoever sends it."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.do_GET()

        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"data": [{"id": "tiny"}], "choices": [{"text": "a"}]}')

        def log_message(self, *words: Any) -> None:
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{httpd.server_port}"
    httpd.shutdown()
    httpd.server_close()


@pytest.mark.parametrize("check_mode", [False, True])
def test_all_endpoints_are_checked_and_nothing_fails(server: str, check_mode: bool) -> None:
    endpoints = [
        {"name": "head", "url": server, "model": "tiny", "api_key": "sk-planted"},
        {"name": "rank 1", "url": server, "serves": False},
        {"name": "gone", "url": "http://127.0.0.1:9", "model": "tiny"},
    ]
    result = call(endpoint_check, endpoints=endpoints, timeout=5, check_mode=check_mode)
    assert result["changed"] is False and "failed" not in result
    found = {(one["where"], one["code"], one["severity"]) for one in result["checks"]}
    assert {
        ("head", "model-name", "pass"),
        ("head", "key-required", "fail"),
        ("rank 1", "endpoint-silent", "fail"),
        ("gone", "endpoint-answers", "fail"),
    } <= found
    assert "sk-planted" not in str(result["checks"])


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({}, "missing required arguments: endpoints"),
        ({"endpoints": [{"url": "http://127.0.0.1:9"}]}, "missing required arguments: name"),
        ({"endpoints": [], "timeout": "soon"}, "timeout"),
    ],
)
def test_wrong_arguments_are_refused(params: dict[str, Any], message: str) -> None:
    result = call(endpoint_check, **params)
    assert result["failed"] and message in result["msg"]
