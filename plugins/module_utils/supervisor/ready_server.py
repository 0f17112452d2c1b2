# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``GET /ready`` of a supervisor, by one thread that holds few connections for a short time. Private to this collection.

Whoever reaches the port may open as many connections as he likes and send what he likes, or nothing: he takes neither
descriptors nor threads from the supervisor, whose end would be the end of its engine (decisions/120).
"""

from __future__ import annotations

import collections
import errno
import json
import selectors
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

MOST_CONNECTIONS = 64
"""At once. A router has one for each question; where more come, the oldest of the address that has most of them goes."""

WHOLE_S = 2.0
"""From the connection to the last byte of the answer: a router waits no longer (`timeout check` in `router.haproxy`)."""

MOST_BYTES = 4096
"""Of a request; a router's has about a hundred."""

BACKLOG = 128
PAUSE_S = 0.2
"""Until the next connection is accepted, where the process or the node has no descriptor or memory for one."""

LISTEN_AGAIN_S = 5.0
_SHORT = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_AT_ONCE = 16  # connections accepted before those that are there are read again
_REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 503: "Service Unavailable"}

Report = Callable[[], tuple[bool, Mapping[str, Any]]]
"""Gives whether the deployment is ready, and the status."""


def family(address: str) -> socket.AddressFamily:
    """Of an IP address without brackets."""
    return socket.AF_INET6 if ":" in address else socket.AF_INET


@dataclass
class _Connection:
    socket: socket.socket
    address: str
    until: float
    received: bytearray = field(default_factory=bytearray)
    left: bytes = b""


def answer(request: bytes, report: Report) -> bytes:
    """The whole answer to a request whose head has come: 200 while ready, 503 otherwise, with the status as JSON."""
    words = request.split(b"\r\n", 1)[0].split()
    if len(words) != 3 or not words[2].startswith(b"HTTP/1."):
        code, body = 400, b""
    elif words[0] not in (b"GET", b"HEAD"):
        code, body = 405, b""
    elif words[1] != b"/ready":
        code, body = 404, b""
    else:
        is_ready, status = report()
        code, body = 200 if is_ready else 503, json.dumps(status).encode() + b"\n"
    head = (
        f"HTTP/1.1 {code} {_REASONS[code]}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + (b"" if words and words[0] == b"HEAD" else body)


class ReadyServer:
    """Answers on one address and port; run `serve` in a thread.

    trouble: why it does not listen; empty while it does. port: the one that it listens on, also when any was asked for (0).
    """

    def __init__(self, address: str, port: int, report: Report) -> None:
        self._address, self.port, self._report = address, port, report
        self.trouble = ""
        self._selector = selectors.DefaultSelector()
        self._connections: dict[int, _Connection] = {}  # by descriptor, the oldest first

    def serve(self) -> None:
        """For ever. What goes wrong is tried again."""
        while True:
            try:
                with self._listener() as listener:
                    self.trouble = ""
                    self._serve(listener)
            except Exception as error:  # whatever it is, routers go on to ask
                why = getattr(error, "strerror", None) or error
                self.trouble = f"/ready is not served on {self._address} port {self.port}: {why}"
            for one in list(self._connections.values()):
                self._close(one)
            time.sleep(LISTEN_AGAIN_S)

    def _listener(self) -> socket.socket:
        listener = socket.socket(family(self._address), socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((self._address, self.port))
            listener.listen(BACKLOG)
            listener.setblocking(False)
        except OSError:
            listener.close()
            raise
        self.port = int(listener.getsockname()[1])
        return listener

    def _serve(self, listener: socket.socket) -> None:
        accept_from = 0.0
        listens = False
        try:
            while True:
                now = time.monotonic()
                if not listens and now >= accept_from:
                    self._selector.register(listener, selectors.EVENT_READ)
                    listens = True
                until = min(
                    [one.until for one in self._connections.values()] + ([] if listens else [accept_from]), default=None
                )
                for key, _events in self._selector.select(None if until is None else max(0.0, until - now)):
                    if key.fileobj is listener:
                        if not self._accept(listener):
                            self._selector.unregister(listener)
                            listens, accept_from = False, time.monotonic() + PAUSE_S
                    elif key.fd in self._connections:  # not closed for another one meanwhile
                        self._go_on(self._connections[key.fd])
                now = time.monotonic()
                for one in [one for one in self._connections.values() if one.until <= now]:
                    self._close(one)
        finally:
            if listens:
                self._selector.unregister(listener)

    def _accept(self, listener: socket.socket) -> bool:
        """Whether there was all that it needs."""
        for _unused in range(_AT_ONCE):
            try:
                connection, sender = listener.accept()
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno not in _SHORT:
                    continue  # it was given up by its sender, say
                self._make_room()
                return False
            one = _Connection(connection, str(sender[0]), time.monotonic() + WHOLE_S)
            try:
                connection.setblocking(False)
                self._selector.register(connection, selectors.EVENT_READ)
            except OSError:
                connection.close()
                return False
            if len(self._connections) >= MOST_CONNECTIONS:
                self._make_room()
            self._connections[connection.fileno()] = one
            self._go_on(one)  # an honest client's request is there as a rule
        return True

    def _make_room(self) -> None:
        if not self._connections:
            return
        most = collections.Counter(one.address for one in self._connections.values()).most_common(1)[0][0]
        self._close(next(one for one in self._connections.values() if one.address == most))

    def _go_on(self, one: _Connection) -> None:
        """Read or write as much as can be; whatever the other end does costs its own connection at most."""
        try:
            if not one.left:
                piece = one.socket.recv(MOST_BYTES)
                one.received += piece
                if b"\r\n\r\n" in one.received:
                    one.left = answer(bytes(one.received), self._report)
                    self._selector.modify(one.socket, selectors.EVENT_WRITE)
                elif not piece or len(one.received) >= MOST_BYTES:
                    self._close(one)
                    return
            if one.left:
                one.left = one.left[one.socket.send(one.left) :]
                if not one.left:
                    self._close(one)
        except BlockingIOError:
            pass
        except OSError:
            self._close(one)

    def _close(self, one: _Connection) -> None:
        self._connections.pop(one.socket.fileno(), None)
        self._selector.unregister(one.socket)
        one.socket.close()
