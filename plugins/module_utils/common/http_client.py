# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The HTTP client of this collection: one request, one answer, whatever the server does. Private to this collection.

No redirect is followed, so a key goes to the host of the URL and to no other. Proxies of the environment are for the outside:
they are used on request only.
"""

from __future__ import annotations

import http.client
import io
import json
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

MOST_BYTES = 16_000_000
"""Of an answer's body. The largest in use are an engine's metrics, of a few hundred kB."""

TIMED_OUT = "timed out"
"""The error of an answer that was not whole when the time limit was reached."""

_PIECE = 65536


@dataclass(frozen=True)
class Answer:
    """What came back.

    status: of HTTP; 0 when none came. headers: their names in lower case. body: as far as it was read. error: why there is no
    answer, or why it is not whole; empty when it is whole, whatever its status.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    error: str = ""

    @property
    def text(self) -> str:
        """The body; what is not UTF-8 in it is replaced."""
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """The body, read as JSON. Raises ValueError."""
        return json.loads(self.body)


def parsed(text: str | bytes) -> Any:
    """Any JSON. Raises ValueError."""
    return json.loads(text)


def json_object(text: str | bytes) -> dict[str, Any]:
    """A JSON object; empty when the text is anything else."""
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def bearer(key: str | None) -> dict[str, str]:
    """The header that carries an API key; none without a key."""
    return {"Authorization": f"Bearer {key}"} if key else {}


_PARTIAL_CHAIN = 0x80000  # ssl.VERIFY_X509_PARTIAL_CHAIN has a name from Python 3.10 on


@dataclass(frozen=True)
class Trust:
    """Which certificates count for ``https``: those that the machine trusts, for the name in the URL, and what is added here.

    ca_file: PEM file with authorities that count as well. ca_data: such authorities as text, from who has the file to who asks.
    certificate: PEM file whose first certificate the server must show,
    whatever names are in it; nothing else counts then. That is how a server on the same machine is known, which is asked by an
    address that no certificate names.
    """

    ca_file: str = ""
    certificate: str = ""
    ca_data: str = ""

    def context(self) -> ssl.SSLContext:
        """For one request: the files are read each time, since certificates are renewed. Raises ValueError."""
        file = self.certificate or self.ca_file
        try:
            if not self.certificate:
                context = ssl.create_default_context()
                if file:
                    context.load_verify_locations(cafile=file)
                if self.ca_data:
                    context.load_verify_locations(cadata=self.ca_data)
                return context
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False  # it is this very certificate or none
            context.verify_flags |= _PARTIAL_CHAIN  # also where it is not signed by itself
            text = Path(file).read_text(encoding="ascii", errors="replace")
            context.load_verify_locations(cadata=_first_certificate(text))
            return context
        except (ssl.SSLError, ValueError) as error:
            raise ValueError(f"{file or 'ca_data'} holds no certificate: {error}") from None
        except OSError as error:
            raise ValueError(f"{file} cannot be read: {error.strerror or error}") from None


def _first_certificate(text: str) -> str:
    """Of a PEM file: a server's own comes first (RFC 8446 section 4.4.2), those of authorities behind it."""
    begin, end = text.find("-----BEGIN CERTIFICATE-----"), text.find("-----END CERTIFICATE-----")
    return text[begin : end + len("-----END CERTIFICATE-----")] if 0 <= begin < end else ""


MACHINE = Trust()
"""What the machine trusts."""


def request(
    url: str,
    *,
    timeout: float,
    method: str | None = None,
    headers: Mapping[str, str] | None = None,
    body: Any = None,
    content: bytes | None = None,
    most_bytes: int = MOST_BYTES,
    until: Callable[[bytes], bool] | None = None,
    proxies: bool = False,
    trust: Trust = MACHINE,
) -> Answer:
    """Send a request and read its answer. Never raises for what a server, the network or a wrong URL may do.

    url: ``http`` or ``https``. timeout: seconds for everything from connecting to the last byte of the answer; the look-up of a
    name has the resolver's own limit. method: POST with a body and GET without one, unless given. body: sent as JSON; None for
    none. content: sent as it is, instead of a body; its type is a header. most_bytes: the rest of a larger body is not read.
    until: called with each line of a successful answer as it arrives, without its end; after the first for which it is true,
    the rest is not read. proxies: use those of the environment. trust: for ``https``.
    """
    sent = dict(headers or {})
    # http.client would repeat the value, which may be a key, in its error
    wrong = [name for name, value in sent.items() if not value.isprintable() or any(ord(one) > 255 for one in value)]
    if wrong:
        return Answer(0, error=f"a character that HTTP does not allow in the value of {', '.join(wrong)}")
    data = json.dumps(body).encode() if body is not None else content
    if data is not None:
        sent.setdefault("Content-Type", "application/json")
    limit = _Limit(timeout)
    try:
        context = trust.context() if url.lower().startswith("https:") else None
    except ValueError as unreadable:
        return Answer(0, error=str(unreadable))
    opener = urllib.request.OpenerDirector()
    # with neither a handler of redirects nor one of errors: every status is an answer
    for handler in (
        urllib.request.ProxyHandler(None if proxies else {}),
        urllib.request.UnknownHandler(),
        _Handler(limit, context),
    ):
        opener.add_handler(handler)
    status, seen, got, error = 0, {}, bytearray(), ""
    try:
        with opener.open(urllib.request.Request(url, data, sent, method=method), timeout=timeout) as answer:
            status, seen = answer.status, {name.lower(): value for name, value in answer.headers.items()}
            error = _read(answer, got, most_bytes, until if 200 <= status < 300 else None)
    except (OSError, ValueError, http.client.HTTPException) as broken:
        error = _reason(broken)
    return Answer(status, seen, bytes(got), error)


def _read(answer: http.client.HTTPResponse, got: bytearray, most: int, until: Callable[[bytes], bool] | None) -> str:
    """Read a body into ``got``; why it is not whole, or nothing. Raises what `request` catches."""
    length = answer.length  # before Python 3.11.8 it does not count down what read1 has read
    end = most + 1 if length is None else min(length, most + 1)
    line = b""
    while piece := answer.read1(min(_PIECE, end - len(got))):
        got += piece
        if until:
            *lines, line = (line + piece).split(b"\n")
            if any(until(one) for one in lines):
                return ""
        if len(got) > most:
            del got[most:]
            return f"the answer has more than {most} bytes"
    if until and line:
        until(line)
    return f"the answer ended {end - len(got)} bytes early" if length is not None and end > len(got) else ""


def _reason(broken: Exception) -> str:
    reason = broken.reason if isinstance(broken, urllib.error.URLError) else broken
    if isinstance(reason, (socket.timeout, TimeoutError)):  # two classes before Python 3.10, and a text for each layer
        return TIMED_OUT
    if isinstance(reason, OSError) and not isinstance(reason, ssl.SSLError) and reason.strerror:
        return reason.strerror  # "Connection refused": its number tells people nothing
    return str(reason) or type(reason).__name__


class _Limit:
    """The time limit of one request."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds, above 0. Raises TimeoutError when none are left."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError(TIMED_OUT)
        return left

    def connect(self, address: tuple[str, int], *_unused: Any) -> socket.socket:
        """In place of `socket.create_connection`, which gives its time limit to each address of a name."""
        failure = OSError(f"no address of {address[0]}")
        for *_kind, target in socket.getaddrinfo(*address, type=socket.SOCK_STREAM):
            try:
                connected = socket.create_connection((str(target[0]), int(target[1])), self.left())
                connected.settimeout(self.left())  # a TLS handshake follows
                return connected
            except OSError as error:
                failure = error
        raise failure


class _Reader(io.RawIOBase):
    """Reads a socket for as long as the limit of the whole request leaves."""

    def __init__(self, connected: socket.socket, limit: _Limit) -> None:
        self._socket, self._limit = connected, limit
        self._file = connected.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._socket.settimeout(self._limit.left())
        return self._file.readinto(buffer)

    def close(self) -> None:
        self._file.close()
        super().close()


class _Socket:
    """What `http.client` uses of a socket, under the limit of the whole request."""

    def __init__(self, connected: socket.socket, limit: _Limit) -> None:
        self._socket, self._limit = connected, limit
        self.close = connected.close

    def sendall(self, data: bytes) -> None:
        self._socket.settimeout(self._limit.left())
        self._socket.sendall(data)

    def makefile(self, *_mode: Any) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self._socket, self._limit))


class _Connection(http.client.HTTPConnection):
    def __init__(self, host: str, *, limit: _Limit, **rest: Any) -> None:
        super().__init__(host, **rest)
        self._limit = limit
        self._create_connection = limit.connect

    def connect(self) -> None:
        super().connect()
        self.sock: Any = _Socket(self.sock, self._limit)


class _TlsConnection(_Connection, http.client.HTTPSConnection):
    """Its handshake has the limit too."""


class _Handler(urllib.request.AbstractHTTPHandler):
    def __init__(self, limit: _Limit, context: ssl.SSLContext | None) -> None:
        super().__init__()
        self._limit, self._context = limit, context

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(partial(_Connection, limit=self._limit), req)

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(partial(_TlsConnection, limit=self._limit), req, context=self._context)

    http_request = https_request = urllib.request.AbstractHTTPHandler.do_request_
