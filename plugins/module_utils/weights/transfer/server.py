# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node of a transfer answers the others: slices that are here, by HTTP, and how many.

Under a path that begins with the transfer's token, to the addresses of the other nodes only:

    GET  /TOKEN/<file>/<slice>   the bytes and their CRC-32 (``Slice-CRC32``); 503 when they are not here yet
    HEAD /TOKEN/<file>/<slice>   the CRC-32 alone
    GET  /TOKEN/status           {"state": ..., "slices": how many are here}

Private to this collection.
"""

from __future__ import annotations

import contextlib
import hmac
import json
import os
import socket
import threading
import time
from collections.abc import Collection, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

from ansible_collections.fullrank.serving.plugins.module_utils.weights.transfer.slices import (
    File,
    Progress,
    Shelf,
    Stop,
)
from ansible_collections.fullrank.serving.plugins.module_utils.weights.transfer.target import crc_to_send, reading

CRC_HEADER = "Slice-CRC32"
NOT_YET_S = 2  # that a request waits for a slice which is on its way


class Handler(BaseHTTPRequestHandler):
    """Answers the other nodes."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 600
    server: Server

    def log_message(self, *_unused: Any) -> None:
        """The token is in every path: nothing is logged."""

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, with_body: bool) -> None:
        server = self.server
        token, _unused, what = unquote(self.path).lstrip("/").partition("/")
        if not hmac.compare_digest(token.encode(), server.token.encode()):
            self._reply(404, b"")
            return
        server.last_request = time.monotonic()
        if what == "status":
            self._reply(200, json.dumps({"state": server.progress.state, "slices": server.shelf.slices}).encode())
            return
        found = server.shelf.find(what)
        if found is None:
            self._reply(404, b"")
            return
        if not server.shelf.wait_for(*found, NOT_YET_S):
            self._reply(503, b"")
            return
        try:
            self._send_slice(*found, with_body)
        except OSError:
            self.close_connection = True  # the other one left, or our disk failed: it finds out by the missing bytes

    def _reply(self, status: int, body: bytes) -> None:
        self.send_response_only(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _send_slice(self, file: File, number: int, with_body: bool) -> None:
        offset, length = file.span(number)
        crc = crc_to_send(file, number)
        self.send_response_only(200)
        self.send_header("Content-Length", str(length))
        self.send_header(CRC_HEADER, f"{crc:08x}")
        self.end_headers()
        if with_body:
            with reading(file) as descriptor, os.fdopen(os.dup(descriptor), "rb", buffering=0) as source:
                if self.connection.sendfile(source, offset, length) != length:
                    self.close_connection = True


class Server(ThreadingHTTPServer):
    """Listens on one address, for the nodes of the transfer only."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self, shelf: Shelf, progress: Progress, *, address: str, port: int, peers: Collection[str], token: str
    ) -> None:
        self.peers, self.token, self.shelf, self.progress = peers, token, shelf, progress
        self.last_request = time.monotonic()
        """When a node last requested something."""
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        try:
            super().__init__((address, port), Handler)
        except OSError as error:
            raise Stop(f"it cannot listen on {address}, port {port}: {error.strerror}") from error

    def verify_request(self, _request: Any, client_address: Any) -> bool:
        return str(client_address[0]) in self.peers

    def handle_error(self, *_unused: Any) -> None:
        """A connection that ends early is no news."""

    @contextlib.contextmanager
    def answering(self) -> Iterator[None]:
        """Answer the other nodes meanwhile."""
        threading.Thread(target=self.serve_forever, daemon=True).start()
        try:
            yield
        finally:
            self.shutdown()
            self.server_close()
