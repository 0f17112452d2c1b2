# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real HAProxy with the configuration of a router on loopback, in front of stand-ins of engines and of their supervisors."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.router import haproxy, lua, words

ENGINE_KEY, TEAM_KEY = "engine-key-of-the-tests", "team-key-of-the-tests"
PROGRAM = shutil.which("haproxy") or "/usr/sbin/haproxy"
BODY = json.dumps({"model": "tiny", "prompt": "ping"}).encode()
EXPECTED = (
    "a request was ended",
    "Lua function 'wait': aborting Lua processing on expired timeout",
    "Lua function 'wait': yield not allowed",
)
"""What the log may have of Lua: of a body that is too large or too slow, and of a client that left while it waited, in the words
of 2.6 and of 3.0 (``hlua_action``).
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


def until(condition: Callable[[], Any], seconds: float = 15) -> None:
    """Wait for it; it fails after so many seconds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.05)


class Engine:
    """A stand-in of one replica. It answers with its name and its tokens, and remembers what reached it.

    ``mode``: ``answer``; ``hang``, it takes requests and answers when ``mode`` is another; ``fail``, status 500; ``repeat``,
    status 422 with what was sent; ``close``, it takes requests and hangs up.
    """

    def __init__(self, name: str) -> None:
        self.name, self.mode, self.ready = name, "answer", True
        self.heads: list[tuple[str, dict[str, str]]] = []
        self.bodies: list[bytes] = []
        self.port, self.ready_port = free_port(), free_port()
        self.server: ThreadingHTTPServer | None = None
        self.supervisor = self._serve(self.ready_port, self._supervisor())
        self.start()

    def _serve(self, port: int, handler: type[BaseHTTPRequestHandler]) -> ThreadingHTTPServer:
        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 1024

            def handle_error(self, request: Any, client_address: Any) -> None:
                """Who asked has gone, which is what some of the tests are about."""

        server = Server(("127.0.0.1", port), handler)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return server

    def start(self) -> None:
        self.server = self._serve(self.port, self._engine())

    def stop(self) -> None:
        """Its port refuses; requests that it has go on."""
        if self.server:
            self.server.shutdown()
            self.server.server_close()
            self.server = None

    def close(self) -> None:
        self.mode = "close"
        self.stop()
        self.supervisor.shutdown()
        self.supervisor.server_close()

    def _supervisor(self) -> type[BaseHTTPRequestHandler]:
        engine = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200 if engine.ready else 503)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        return Handler

    def _engine(self) -> type[BaseHTTPRequestHandler]:
        engine = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                engine.heads.append((self.requestline, dict(self.headers)))
                self.reply({"data": [{"id": "tiny"}]})

            def do_POST(self) -> None:
                engine.heads.append((self.requestline, dict(self.headers)))
                body = self.body()
                engine.bodies.append(body)
                while engine.mode == "hang":
                    time.sleep(0.02)
                if engine.mode == "close":
                    self.close_connection = True
                elif engine.mode == "fail":
                    self.reply({"error": "EngineDeadError"}, 500)
                elif engine.mode == "repeat":
                    self.reply(body, 422)
                elif b'"stream":true' in body.replace(b" ", b""):
                    self.stream()
                else:
                    usage = {"prompt_tokens": 3, "completion_tokens": 4}
                    self.reply({"system_fingerprint": engine.name, "usage": usage})

            def body(self) -> bytes:
                if "chunked" not in self.headers.get("Transfer-Encoding", ""):
                    return self.rfile.read(int(self.headers.get("Content-Length", 0)))
                found = b""
                while size := int(self.rfile.readline(), 16):  # ValueError where it breaks off
                    found += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return found

            def reply(self, answer: dict[str, Any] | bytes, status: int = 200) -> None:
                text = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def stream(self) -> None:
                """Events, the last of them with the tokens; after the first it hangs while ``mode`` is ``pause``."""
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.end_headers()
                self.close_connection = True
                words: list[dict[str, Any]] = [{"text": f"{'word ' * 20}{number}"} for number in range(100)]
                for event in (*words, {"usage": {"prompt_tokens": 30, "completion_tokens": 100}}):
                    self.wfile.write(f"data: {json.dumps(event)}\n\n".encode())
                    self.wfile.flush()
                    while engine.mode == "pause":
                        time.sleep(0.02)
                self.wfile.write(b"data: [DONE]\n\n")

            def log_message(self, format: str, *args: object) -> None:
                pass

        return Handler


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found


@dataclass
class Router:
    """The running program. ``route``: what it was configured from."""

    folder: Path
    route: dict[str, Any]
    engines: list[Engine]
    process: subprocess.Popen[bytes] | None = None
    tls: ssl.SSLContext | None = None
    """How its clients speak; None for plain HTTP."""

    def write(self) -> None:
        texts = {
            "router.lua": lua.PROGRAM,
            "tiny.keys": "".join(
                f"{hashlib.sha256(key.encode()).hexdigest()} {name}\n"
                for key, name in ((ENGINE_KEY, words.ENGINE), (TEAM_KEY, "team-a"))
            ),
            "tiny.engine": f"key {ENGINE_KEY}\n",
            "haproxy.cfg": haproxy.configuration(
                self.route,
                run=str(self.folder),
                maps=str(self.folder / "tiny"),
                program=str(self.folder / "router.lua"),
                digest="tests",
                threads=2,
            ),
        }
        for name, text in texts.items():
            (self.folder / name).write_text(text)

    def start(self) -> None:
        self.write()
        log = (self.folder / "log").open("ab")
        command = [PROGRAM, "-W", "-f", str(self.folder / "haproxy.cfg")]
        self.process = subprocess.Popen(command, stdout=log, stderr=log)
        until(lambda: self.ask("GET", "/fullrank/ready").status in (200, 503))

    def reload(self) -> None:
        """As ``systemctl reload`` does. A signal that comes in a master's first moments is lost."""
        assert self.process is not None
        seen = self.log.count("New worker")
        for _ in range(20):
            self.process.send_signal(signal.SIGUSR2)
            time.sleep(0.5)
            if self.log.count("New worker") > seen:
                return
        raise AssertionError(self.log)

    def command(self, words: str) -> str:
        """The answer on the program's own socket."""
        with socket.socket(socket.AF_UNIX) as one:
            one.connect(str(self.folder / "stats.sock"))
            one.sendall(f"{words}\n".encode())
            return read(one).body.decode(errors="replace")

    def stop(self) -> None:
        if self.process:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def connect(self, timeout: float = 60) -> socket.socket:
        one = socket.create_connection(("127.0.0.1", self.route["port"]), timeout)
        return self.tls.wrap_socket(one) if self.tls else one

    def raw(self, request: bytes, timeout: float = 60) -> Reply:
        """Exactly these bytes, and the answer to its end; status 0 where none came."""
        with contextlib.suppress(ConnectionError, ssl.SSLEOFError), self.connect(timeout) as one:
            with contextlib.suppress(ConnectionError, ssl.SSLEOFError):  # who is refused early has an answer to read
                one.sendall(request)
            return read(one)
        return Reply(0, {}, b"")

    def ask(
        self,
        method: str = "POST",
        path: str = "/v1/completions",
        body: bytes | None = None,
        key: str | None = ENGINE_KEY,
        **headers: str,
    ) -> Reply:
        if body is None and method == "POST":
            body = BODY
        lines = [f"{method} {path} HTTP/1.1", "Host: router.example", "Connection: close"]
        if key:
            lines.append(f"Authorization: Bearer {key}")
        if body is not None:
            lines += [f"Content-Length: {len(body)}", "Content-Type: application/json"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        return self.raw("\r\n".join(lines).encode() + b"\r\n\r\n" + (body or b""))

    def metrics(self, path: str = "/metrics") -> str:
        request = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
        with socket.create_connection(("127.0.0.1", self.route["metrics_port"]), 10) as one:
            one.sendall(request)
            return read(one).body.decode()


def trusting() -> ssl.SSLContext:
    """For a certificate that is signed by itself."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def post(length: int, key: str = ENGINE_KEY) -> bytes:
    """The head of a request with a body of so many bytes."""
    head = (
        f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Length: {length}\r\n\r\n"
    )
    return head.encode()


def read(one: socket.socket) -> Reply:
    """An answer, to the end of the connection."""
    data = b""
    with contextlib.suppress(ConnectionError, ssl.SSLEOFError):
        while part := one.recv(65536):
            data += part
    head, _unused, body = data.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    if not lines[0].startswith("HTTP/1."):
        return Reply(0, {}, data)
    headers = {name.lower(): value.strip() for name, _unused, value in (line.partition(":") for line in lines[1:])}
    if headers.get("transfer-encoding") == "chunked":
        body = dechunked(body)
    return Reply(int(lines[0].split()[1]), headers, body)


def dechunked(data: bytes) -> bytes:
    found = b""
    while data:
        size, _unused, data = data.partition(b"\r\n")
        length = int(size or b"0", 16)
        found, data = found + data[:length], data[length + 2 :]
        if not length:
            break
    return found


def route(engines: list[Engine], **changes: Any) -> dict[str, Any]:
    """What the action `routes` plans, with limits that a test reaches."""
    return {
        "name": "tiny",
        "host": "127.0.0.1",
        "port": free_port(),
        "tls": False,
        "timeout": 3600,
        "max_body_mib": 1,
        "buffer_kib": 64,
        "max_connections": 200,
        "address_connections": 150,
        "address_rate": 100000,
        "queue": 5,
        "queue_timeout": 20,
        "resend": True,
        "key": True,
        "engine_key": True,
        "balancer": {},
        "origins": [],
        "teams": [{"name": "team-a", "concurrency": 2, "rate": 0}],
        "post": ["/v1/chat/completions", "/v1/completions"],
        "get": ["/v1/models"],
        "metrics_host": "127.0.0.1",
        "metrics_port": free_port(),
        "metrics_from": [],
        "servers": [
            {
                "name": one.name,
                "url": f"http://127.0.0.1:{one.port}",
                "ready": f"http://127.0.0.1:{one.ready_port}/ready",
            }
            for one in engines
        ],
        **changes,
    }


@contextlib.contextmanager
def running(folder: Path, replicas: int = 2, **changes: Any) -> Iterator[Router]:
    engines = [Engine(f"n{number + 1}") for number in range(replicas)]
    router = Router(folder, route(engines, **changes), engines, tls=trusting() if changes.get("tls") else None)
    try:
        router.start()
        yield router
        wrong = [line for line in router.log.splitlines() if "Lua" in line and not any(one in line for one in EXPECTED)]
        assert not wrong, wrong[:5]
    finally:
        router.stop()
        for one in engines:
            one.close()
