# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The backends of the role webui, as its tasks find them: one play on this machine against HTTP servers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from places import CHECKOUT

KEY = "sk-of-the-backend"


class Backend(BaseHTTPRequestHandler):
    """``/served``: a model. ``/private``: the same, with the key. ``/empty``, ``/broken``: none. ``/moved``: a redirect."""

    requests: list[tuple[str, str]] = []

    def do_GET(self) -> None:
        authorization = self.headers.get("Authorization", "")
        Backend.requests.append((self.path, authorization))
        name = self.path.split("/")[1]
        status, body = 200, {"data": [{"id": "tiny"}, {"id": "tiny-lora"}]}
        if name == "private" and authorization != f"Bearer {KEY}":
            status, body = 401, {}
        if name == "empty":
            body = {"data": []}
        if name == "moved":
            status = 302
        if name == "broken":
            status = 500
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        if status == 302:
            self.send_header("Location", "/served/v1/models")
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Backend)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_each_backend_gets_a_row_and_no_key_is_shown(url: str, tmp_path: Path) -> None:
    backends = [
        {"url": f"{url}/served/v1/", "name": "served"},
        {"url": f"{url}/private/v1", "key": KEY},
        {"url": f"{url}/private/v1", "key": "sk-another"},
        {"url": f"{url}/private/v1", "key": None},
        {"url": f"{url}/empty/v1"},
        {"url": f"{url}/broken/v1"},
        {"url": f"{url}/moved/v1", "key": KEY},
        {"url": "http://127.0.0.1:9/v1"},
    ]
    result = tmp_path / "result.json"
    role = {"name": "fullrank.serving.webui", "tasks_from": "backends", "public": True}
    tasks = [
        {"name": "Request them", "ansible.builtin.include_role": role},
        {
            "name": "Keep the rows",
            "ansible.builtin.copy": {"dest": str(result), "content": "{{ __webui_backends_found | to_json }}"},
            "no_log": True,
        },
    ]
    play = {"name": "Backends", "hosts": "localhost", "gather_facts": False, "tasks": tasks}
    play["vars"] = {"webui_backends": backends, "webui_admin_email": "a@example.com", "webui_admin_password": "x"}
    (tmp_path / "play.yml").write_text(yaml.safe_dump([play], sort_keys=False))
    command = [
        Path(sys.executable).with_name("ansible-playbook"),
        "-vvv",
        "-i",
        "localhost,",
        "-c",
        "local",
        tmp_path / "play.yml",
    ]
    env = {**os.environ, "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"), "ANSIBLE_LOCAL_TEMP": str(tmp_path / "tmp")}
    done = subprocess.run(list(map(str, command)), env=env, capture_output=True, text=True, check=False, cwd=CHECKOUT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert KEY not in done.stdout
    rows = json.loads(result.read_text())
    assert [(one["models"], one["error"]) for one in rows[:-1]] == [
        (["tiny", "tiny-lora"], ""),
        (["tiny", "tiny-lora"], ""),
        ([], "HTTP 401: its key is refused"),
        ([], "HTTP 401: it requires a key"),
        ([], "it serves no model"),
        ([], "HTTP 500"),
        ([], "HTTP 302"),
    ]
    assert (
        rows[-1]["models"] == []
        and "Connection refused" in rows[-1]["error"]
        and "Request failed" not in rows[-1]["error"]
    )
    assert [one["url"] for one in rows] == [one["url"] for one in backends] and rows[0]["name"] == "served"
    assert ("/served/v1/models", f"Bearer {KEY}") not in Backend.requests, "a redirect does not carry the key away"
