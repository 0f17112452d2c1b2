# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The example that asks a question: an answer, or one line."""

from __future__ import annotations

import http.server
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from places import CHECKOUT

MISSING = {"error": {"message": "The model `nope` does not exist.", "type": "NotFoundError", "code": 404}}
CHUNK = {"choices": [{"delta": {"content": "yes"}}]}


@contextmanager
def endpoint(status: int, body: bytes) -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
        server.shutdown()


def ask(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(CHECKOUT / "examples/ask.py"), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_an_answer_is_printed() -> None:
    with endpoint(200, f"data: {json.dumps(CHUNK)}\n\ndata: [DONE]\n\n".encode()) as url:
        done = ask(url, "tiny", "Are you there?")
    assert (done.returncode, done.stdout, done.stderr) == (0, "yes\n", "")


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (404, json.dumps(MISSING).encode(), "HTTP 404: The model `nope` does not exist."),
        (401, b'{"error": "Unauthorized"}', "HTTP 401: "),
        (503, b"<html>no server is available</html>", "HTTP 503: <html>no server is available</html>"),
        (200, b"no JSON at all\n", "Expecting value"),
    ],
)
def test_a_refusal_is_one_line(status: int, body: bytes, reason: str) -> None:
    with endpoint(status, body) as url:
        done = ask(url, "nope", "Are you there?")
    assert done.returncode == 1 and reason in done.stderr
    assert done.stderr.startswith(f"{url} does not answer as nope: ") and len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/v1", "no-url", "http://nowhere.invalid/v1"])
def test_an_endpoint_that_is_not_there_is_one_line(url: str) -> None:
    done = ask(url, "tiny", "Are you there?")
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1 and url in done.stderr


def test_missing_words_are_the_usage() -> None:
    assert "usage: ask.py" in ask("http://127.0.0.1:9/v1").stderr
