# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one client can take from the web chat's TLS proxy: the real nginx with the role's configuration, before a stand-in."""

from __future__ import annotations

import contextlib
import re
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jinja2
import pytest
from ansible_collections.fullrank.serving.plugins.modules import service_unit

ROOT = Path(__file__).resolve().parents[2]
NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin")
CUT_S = 1
"""In place of the configuration's 15 seconds."""

pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")


class Chat(BaseHTTPRequestHandler):
    """Counts what it gets of a body; streams three parts with a pause; answers an upgrade, and echoes then."""

    protocol_version = "HTTP/1.1"
    got = 0

    def do_POST(self) -> None:
        left = int(self.headers["Content-Length"])
        while left > 0 and (piece := self.rfile.read1(min(left, 65536))):  # type: ignore[attr-defined]
            left -= len(piece)
            Chat.got += len(piece)
        if not left:
            self.answer(b"taken")

    def do_GET(self) -> None:
        if self.headers.get("Upgrade") == "websocket":
            self.send_response(101)
            self.send_header("Upgrade", "websocket")
            self.send_header("Connection", "Upgrade")
            self.end_headers()
            self.wfile.write(self.rfile.read(4))
            self.close_connection = True
        elif self.path == "/stream":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for _unused in range(3):
                self.wfile.write(b"4\r\npart\r\n")
                self.wfile.flush()
                time.sleep(1.5 * CUT_S)
            self.wfile.write(b"0\r\n\r\n")
        elif self.path == "/slow":
            time.sleep(2 * CUT_S)
            self.answer(b"late")
        else:
            self.answer(b"hello")

    def answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Proxy:
    def __init__(self, port: int, folder: Path) -> None:
        self.port, self.folder = port, folder
        self._tls = ssl.create_default_context(cafile=str(folder / "x.crt"))

    def connect(self) -> ssl.SSLSocket:
        return self._tls.wrap_socket(
            socket.create_connection(("127.0.0.1", self.port), 20), server_hostname="127.0.0.1"
        )

    def answer(self, request: bytes) -> bytes:
        with self.connect() as client:
            client.sendall(request)
            return rest(client)

    def get(self, path: str) -> bytes:
        return self.answer(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())

    def stored(self) -> int:
        """Bytes of files in the proxy's folders, but for its configuration."""
        own = ("nginx.conf", "x.crt", "x.key", "log")
        return sum(file.stat().st_size for file in self.folder.rglob("*") if file.is_file() and file.name not in own)


def rest(client: ssl.SSLSocket) -> bytes:
    """What comes until the other side ends it, however it does."""
    found = b""
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        while piece := client.recv(65536):
            found += piece
    return found


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def configuration(folder: Path, port: int, chat: int) -> str:
    """The role's own, with its folders in ``folder`` and seconds of a test; it is root's here, and its workers are."""
    template = ROOT / "roles/webui/templates/etc/fullrank/webui-tls.conf.j2"
    http = jinja2.Template(template.read_text(), keep_trailing_newline=True).render(
        webui_host="127.0.0.1",
        webui_tls_port=port,
        webui_port=chat,
        webui_max_upload_mib=64,
        webui_client_requests=20,
        webui_client_rate=20,
        __webui_certificate=f"{folder}/x.crt",
        __webui_certificate_key=f"{folder}/x.key",
    )
    text = service_unit.text("fullrank-webui-tls", {"nginx": True, "content": http})
    for own in ("/var/lib/fullrank-webui-tls", "/run/fullrank-webui-tls"):
        text = text.replace(own, str(folder))
    assert text.count("timeout 15s") == 2
    text = re.sub(r"^user .*;$", "user root;", text, flags=re.MULTILINE)
    return text.replace("timeout 15s", f"timeout {CUT_S}s")


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("proxy")
    words = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=x".split()
    words += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(folder / "x.key"), "-out", str(folder / "x.crt")]
    subprocess.run(words, check=True, capture_output=True)
    chat = ThreadingHTTPServer(("127.0.0.1", 0), Chat)
    chat.daemon_threads = True
    threading.Thread(target=chat.serve_forever, daemon=True).start()
    port = free_port()
    (folder / "nginx.conf").write_text(configuration(folder, port, chat.server_port))
    with (folder / "log").open("wb") as log:
        nginx = subprocess.Popen([str(NGINX), "-e", "stderr", "-c", str(folder / "nginx.conf")], stdout=log, stderr=log)
    try:
        for _unused in range(100):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            assert nginx.poll() is None, (folder / "log").read_text()
            time.sleep(0.1)
        yield Proxy(port, folder)
    finally:
        nginx.send_signal(signal.SIGTERM)
        nginx.wait(10)
        chat.shutdown()
        chat.server_close()


def test_unfinished_uploads_fill_no_disk_and_are_cut(proxy: Proxy) -> None:
    """The attack: bodies that never end. What comes goes to Open WebUI, and the connection ends when nothing more comes."""
    clients = [proxy.connect() for _unused in range(5)]
    piece, before = b"x" * (4 << 20), Chat.got
    for client in clients:
        client.sendall(b"POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 60000000\r\n\r\n" + piece)
    deadline = time.monotonic() + 20
    while Chat.got - before < 5 * len(piece) * 0.9 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert Chat.got - before > 5 * len(piece) * 0.9, "it is passed on as it comes"
    assert proxy.stored() < 1_000_000
    started = time.monotonic()
    for client in clients:
        with client:
            rest(client)
    assert time.monotonic() - started < 15, "each was cut, and none waits for the rest"


def test_a_body_above_the_limit_is_refused_before_it_comes(proxy: Proxy) -> None:
    request = f"POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: {65 << 20}\r\n\r\n"
    assert b" 413 " in proxy.answer(request.encode()).split(b"\r\n")[0]


def test_an_upload_within_the_limit_arrives(proxy: Proxy) -> None:
    body = b"x" * (8 << 20)
    request = f"POST /upload HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    assert proxy.answer(request.encode() + body).endswith(b"taken")


def test_a_header_that_does_not_end_is_cut(proxy: Proxy) -> None:
    with proxy.connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        assert b" 200 " not in rest(client)[:20]


def test_a_stream_and_a_websocket_outlive_those_limits(proxy: Proxy) -> None:
    assert proxy.get("/stream").count(b"part") == 3
    with proxy.connect() as client:
        client.sendall(b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
        time.sleep(2 * CUT_S)
        client.sendall(b"ping")
        answer = rest(client)
    assert answer.startswith(b"HTTP/1.1 101") and answer.endswith(b"ping")


def test_one_client_has_so_many_requests_at_a_time(proxy: Proxy) -> None:
    clients = [proxy.connect() for _unused in range(30)]
    for client in clients:
        client.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    answers = []
    for client in clients:
        with client:
            answers.append(rest(client).split(b" ")[1])
    assert answers.count(b"200") == 20 and answers.count(b"429") == 10


def test_one_client_has_so_many_requests_in_a_second(proxy: Proxy) -> None:
    answers: list[bytes] = []
    with proxy.connect() as client:
        client.sendall(
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 400 + b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        answers = rest(client).split(b"HTTP/1.1 ")[1:]
    assert sum(answer.startswith(b"429") for answer in answers) > 50
    assert answers[0].startswith(b"200")
