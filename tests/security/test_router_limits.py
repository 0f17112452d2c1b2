# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How much a key or an address gets, and for how long a key that was taken out is good."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.router import files, haproxy
from router_loopback import BODY, ENGINE_KEY, TEAM_KEY, Router, read, running, until


def team(**limits: int) -> list[dict[str, Any]]:
    return [{"name": "team-a", "concurrency": 0, "rate": 0, **limits}]


@pytest.mark.parametrize("rate", [1, 3])
def test_a_key_that_asks_more_often_than_it_may_still_gets_what_it_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rate: int
) -> None:
    """It never stops asking, as clients that try again do."""
    monkeypatch.setattr(haproxy, "MINUTE_S", 8)
    with running(tmp_path, replicas=1, teams=team(rate=rate)) as router:
        began = time.monotonic()
        answers = [router.ask(key=TEAM_KEY) for _ in range(rate + 3)]
        quick = time.monotonic() - began < 4
        passed = sum(one.status == 200 for one in answers)
        assert passed == rate if quick else passed >= rate
        refused = [one for one in answers if one.status == 429]
        assert {one.headers["retry-after"] for one in refused} <= {{1: "8", 3: "3"}[rate]}
        for _ in range(2):
            until(lambda: router.ask(key=TEAM_KEY).status == 200, 40)


def test_an_address_that_asks_more_often_than_it_may_still_gets_what_it_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(haproxy, "MINUTE_S", 8)
    with running(tmp_path, replicas=1, address_rate=20) as router:
        statuses = [router.ask(key=None).status for _ in range(40)]
        assert statuses[0] == 401 and 429 in statuses
        until(lambda: router.ask().status == 200, 40)


def test_one_address_has_so_many_requests_a_minute_and_no_more(tmp_path: Path) -> None:
    with running(tmp_path, replicas=1, address_rate=10) as router:
        statuses = [router.ask(key=None).status for _ in range(14)]
        assert set(statuses[:5]) == {401} and statuses[-1] == 429
        assert router.ask().headers["retry-after"] == "6"


# ------------------------------------------------------------------------------------------------- HTTP/2


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """RFC 9113, 4.1."""
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def literal(name: str, value: str) -> bytes:
    """A header, not compressed (RFC 7541, 6.2.2)."""
    return b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b"")


def h2_request(stream: int, key: str) -> bytes:
    names = {":method": "POST", ":scheme": "http", ":path": "/v1/completions", "authorization": f"Bearer {key}"}
    head = frame(1, 4, stream, b"".join(literal(*one) for one in names.items()))
    return head + frame(0, 1, stream, BODY)


def test_a_connection_carries_one_request_at_a_time(tmp_path: Path) -> None:
    """HTTP/2 needs no TLS where a client begins with it: 100 requests on one connection, whatever an address may have."""
    with running(tmp_path, replicas=1) as router:
        with router.connect(20) as one, contextlib.suppress(ConnectionError):
            one.sendall(PREFACE + b"".join(h2_request(2 * number + 1, ENGINE_KEY) for number in range(100)))
            while one.recv(65536):
                pass
        assert router.engines[0].heads == []
        assert router.ask().status == 200


# ------------------------------------------------------------------------------------------------- revoked keys


def revoke(router: Router) -> None:
    """Take the team's key out and go on as `playbooks/router.yml` does."""
    keys = router.folder / "tiny.keys"
    before = keys.read_text()
    keys.write_text("".join(line for line in before.splitlines(True) if not line.endswith("team-a\n")))
    for command in files.revoked(str(keys), before, keys.read_text()):
        router.command(command)
    router.reload()
    until(lambda: router.ask(key=TEAM_KEY).status == 401)


def closed(one: socket.socket) -> bool:
    """Whether the router has hung up. What it sent before is forgotten."""
    one.settimeout(0.05)
    with contextlib.suppress(TimeoutError):
        try:
            return not one.recv(65536)
        except ConnectionError:
            return True
    return False


@pytest.mark.parametrize("sent", ["", "GET /v1/models HTTP/1.1\r\nHost: x\r\n"])
def test_a_connection_from_before_a_key_was_taken_out_is_closed_when_its_head_is_due(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sent: str
) -> None:
    monkeypatch.setattr(haproxy, "HEADERS_S", 3)
    with running(tmp_path, replicas=1, teams=team()) as router, router.connect() as one:
        one.sendall(sent.encode())
        revoke(router)
        until(lambda: closed(one))
        assert [line for line, _unused in router.engines[0].heads if "models" in line] == []


def test_a_head_that_was_begun_before_its_key_was_taken_out_is_refused(tmp_path: Path) -> None:
    """The process that is replaced has the connection, and gives the client time for the rest."""
    with running(tmp_path, replicas=1, teams=team()) as router, router.connect() as one:
        one.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n")
        revoke(router)
        with contextlib.suppress(ConnectionError):
            one.sendall(f"Authorization: Bearer {TEAM_KEY}\r\nContent-Length: {len(BODY)}\r\n\r\n".encode() + BODY)
        assert read(one).status in (0, 401)
        assert router.engines[0].bodies == []


@pytest.mark.parametrize("stream", [False, True])
def test_a_connection_takes_no_further_request_with_a_key_that_was_taken_out(tmp_path: Path, stream: bool) -> None:
    """An idle one, and one on which an answer is being sent: that one is sent to its end."""
    with running(tmp_path, replicas=1, teams=team()) as router, router.connect() as one:
        engine = router.engines[0]
        engine.mode = "pause"
        body = json.dumps({"stream": stream}).encode()
        head = f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TEAM_KEY}\r\n"
        one.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        assert one.recv(65536).startswith(b"HTTP/1.1 200")
        revoke(router)
        had = len(engine.heads)
        with contextlib.suppress(ConnectionError):
            one.sendall(f"{head}Content-Length: {len(BODY)}\r\n\r\n".encode() + BODY)
        engine.mode = "answer"
        until(lambda: closed(one))
        assert len(engine.heads) == had
