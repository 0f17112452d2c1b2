# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What /ready answers, and which connections it ends. The attack on a whole supervisor: tests/security."""

from __future__ import annotations

import errno
import json
import socket
import threading
import time
from collections.abc import Callable

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.supervisor import ready_server
from ansible_collections.fullrank.serving.plugins.module_utils.supervisor.ready_server import (
    MOST_BYTES,
    MOST_CONNECTIONS,
    WHOLE_S,
    ReadyServer,
    answer,
)

STATUS = {"summary": "ready"}


@pytest.mark.parametrize(
    ("request_line", "ready", "first", "body"),
    [
        (b"GET /ready HTTP/1.1", True, "HTTP/1.1 200 OK", STATUS),
        (b"GET /ready HTTP/1.0", False, "HTTP/1.1 503 Service Unavailable", STATUS),
        (b"HEAD /ready HTTP/1.1", True, "HTTP/1.1 200 OK", None),
        (b"GET /other HTTP/1.1", True, "HTTP/1.1 404 Not Found", None),
        (b"POST /ready HTTP/1.1", True, "HTTP/1.1 405 Method Not Allowed", None),
        (b"GET /ready", True, "HTTP/1.1 400 Bad Request", None),
        (b"", True, "HTTP/1.1 400 Bad Request", None),
        (b"\xff\xfe\x00", True, "HTTP/1.1 400 Bad Request", None),
    ],
)
def test_an_answer(request_line: bytes, ready: bool, first: str, body: object) -> None:
    head, _between, rest = answer(request_line + b"\r\nHost: x\r\n\r\n", lambda: (ready, STATUS)).partition(b"\r\n\r\n")
    assert head.decode().splitlines()[0] == first
    assert (json.loads(rest) if rest else None) == body
    if not request_line.startswith(b"HEAD"):
        assert f"Content-Length: {len(rest)}" in head.decode()


@pytest.fixture
def port() -> int:
    server = ReadyServer("127.0.0.1", 0, lambda: (True, STATUS))
    threading.Thread(target=server.serve, daemon=True).start()
    soon(lambda: server.port)
    return server.port


def soon(condition: Callable[[], object]) -> None:
    until = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until, "not within the time"
        time.sleep(0.01)


def dial(port: int, source: str = "127.0.0.1") -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=20, source_address=(source, 0))


def ask(port: int, source: str = "127.0.0.1") -> bytes:
    with dial(port, source) as connection:
        connection.sendall(b"GET /ready HTTP/1.1\r\n\r\n")
        got = b""
        while piece := connection.recv(4096):
            got += piece
        return got


def is_closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def test_a_request_in_pieces_is_answered(port: int) -> None:
    with dial(port) as connection:
        for piece in (b"GET /re", b"ady HTTP/1.1\r", b"\n\r", b"\n"):
            connection.sendall(piece)
            time.sleep(0.02)
        assert connection.recv(4096).startswith(b"HTTP/1.1 200")


def test_one_who_is_slow_or_sends_too_much_is_cut(port: int) -> None:
    began = time.monotonic()
    with dial(port) as slow, dial(port) as long:
        long.sendall(b"x" * (MOST_BYTES + 1))
        assert is_closed(long)
        slow.sendall(b"GET /ready HTTP/1.1\r\nX: ")
        assert is_closed(slow)
    assert time.monotonic() - began >= WHOLE_S
    assert ask(port).startswith(b"HTTP/1.1 200")


def test_who_holds_most_connections_loses_the_oldest(port: int) -> None:
    patient = dial(port, "127.0.0.9")
    others = [dial(port) for _ in range(MOST_CONNECTIONS + 10)]
    assert ask(port, "127.0.0.9").startswith(b"HTTP/1.1 200")
    patient.sendall(b"GET /ready HTTP/1.1\r\n\r\n")
    assert patient.recv(4096).startswith(b"HTTP/1.1 200")
    for one in [patient, *others]:
        one.close()


def test_those_who_leave_early_change_nothing(port: int, capfd: pytest.CaptureFixture[str]) -> None:
    for _ in range(100):
        with dial(port) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # close with a reset
            connection.sendall(b"GET /ready HTTP/1.1\r\n\r\n")
    assert ask(port).startswith(b"HTTP/1.1 200")
    assert capfd.readouterr() == ("", "")


def test_a_lack_of_descriptors_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    lacks = [True]

    class Poor(socket.socket):
        def accept(self) -> tuple[socket.socket, object]:
            if lacks[0]:
                raise OSError(errno.EMFILE, "Too many open files")
            return super().accept()

    monkeypatch.setattr(ready_server.socket, "socket", Poor)
    server = ReadyServer("127.0.0.1", 0, lambda: (True, STATUS))
    threading.Thread(target=server.serve, daemon=True).start()
    soon(lambda: server.port)
    with dial(server.port) as waiting:
        time.sleep(2 * ready_server.PAUSE_S)
        lacks[0] = False
        waiting.sendall(b"GET /ready HTTP/1.1\r\n\r\n")
        assert waiting.recv(4096).startswith(b"HTTP/1.1 200")


def test_a_port_that_is_taken_is_reported_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ready_server, "LISTEN_AGAIN_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = ReadyServer("127.0.0.1", port, lambda: (True, STATUS))
        threading.Thread(target=server.serve, daemon=True).start()
        soon(lambda: server.trouble)
        assert server.trouble == f"/ready is not served on 127.0.0.1 port {port}: Address already in use"
    soon(lambda: not server.trouble)
    assert ask(port).startswith(b"HTTP/1.1 200")
