# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state of routers, from what HAProxy answers."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.router import files, status
from router_samples import ROUTE, SERVER

INFO = "Name: HAProxy\nVersion: 2.6.12\ndescription: abc\n"
STAT = (
    "# pxname,svname,status,\n"
    "clients,FRONTEND,OPEN,\n"
    "check_n1,n1,UP,\ncheck_n1,BACKEND,UP,\n"
    "check_n2,n2,DOWN,\nreplicas,n2,DOWN,\n"
)


@pytest.fixture
def haproxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in at the socket of the route tiny; it answers two commands."""
    monkeypatch.setattr(files, "run_folder", lambda name: str(tmp_path / name))
    (tmp_path / "tiny").mkdir()
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(tmp_path / "tiny/stats.sock"))
    server.listen()

    def serve() -> None:
        for _ in range(2):
            one, _unused = server.accept()
            with one:
                one.sendall((INFO if one.recv(99) == b"show info\n" else STAT).encode())

    threading.Thread(target=serve, daemon=True).start()


@pytest.mark.usefixtures("haproxy")
def test_a_router_that_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "summary", lambda ready: "loading")
    route = {**ROUTE, "servers": [SERVER, {**SERVER, "name": "n2"}]}
    found = status.state([route])["tiny"]
    assert found == {
        "url": "http://192.0.2.9:8080",
        "runs": True,
        "ready": True,
        "servers": {"n1": {"ready": True, "summary": "ready"}, "n2": {"ready": False, "summary": "loading"}},
    }
    assert status.line("tiny", found) == "tiny is found at http://192.0.2.9:8080/v1 (n1 ready, n2: loading)"


@pytest.mark.usefixtures("haproxy")
def test_what_is_read() -> None:
    assert status.read("tiny") == {"config": "abc", "servers": {"n1": True, "n2": False}}


def test_a_router_that_does_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "run_folder", lambda name: str(tmp_path / name))
    found = status.state([ROUTE])["tiny"]
    assert (found["runs"], found["ready"], found["servers"]) == (False, False, {})
    assert status.line("tiny", found).endswith("(its router does not run)")


@pytest.mark.parametrize(
    ("shown", "version"),
    [
        ("HAProxy version 2.6.12-1+deb12u4 2026/10/17 - https://haproxy.org/", (2, 6, 12)),
        ("HA-Proxy version 2.4.30-0ubuntu", (2, 4, 30)),
        ("what?", ()),
    ],
)
def test_the_version_of_haproxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shown: str, version: Any) -> None:
    program = tmp_path / "haproxy"
    program.write_text(f"#!/bin/sh\necho '{shown}'\n")
    program.chmod(0o755)
    monkeypatch.setattr(files, "HAPROXY", str(program))
    assert status.version() == version
    monkeypatch.setattr(files, "HAPROXY", str(tmp_path / "none"))
    assert status.version() == ()


def test_a_router_without_a_ready_replica_is_not_called_where_the_deployment_is_found() -> None:
    servers = {"n1": {"ready": False, "summary": "starting rank 1 (n2)"}}
    line = status.line("tiny", {"url": "http://x:1", "runs": True, "ready": False, "servers": servers})
    assert line == (
        "tiny has no replica that is ready; clients of http://x:1/v1 wait, and get 503 (n1: starting rank 1 (n2))"
    )


def test_a_supervisor_that_was_stopped_reads_as_that_and_not_as_a_fault() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        refused = f"http://127.0.0.1:{unused.getsockname()[1]}/ready"
        assert status.summary(refused) == "no supervisor listens: it is stopped, or not installed"
