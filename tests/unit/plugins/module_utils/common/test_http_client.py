# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The HTTP client against servers on loopback that behave as badly as servers can."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.common import http_client

KEY = "sk-secret-key"
BIG = 300_000


class Handler(BaseHTTPRequestHandler):
    """Answers by path. ``server.seen``: method, path, headers (names in lower case) and body of each request."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.seen.append((self.command, self.path, headers, body))
        name = self.path.rpartition("/")[2]
        getattr(self, f"answer_{name}", self.answer_whole)()
        self.close_connection = True

    do_GET = do_DELETE = do_CONNECT = do_POST

    def head(self, status: int, **headers: Any) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def whole(self, status: int, text: str) -> None:
        self.head(status, Content_Length=len(text.encode()))
        self.wfile.write(text.encode())

    def answer_whole(self) -> None:
        self.whole(200, '{"here": "é"}')

    def answer_list(self) -> None:
        self.whole(200, "[1]")

    def answer_refused(self) -> None:
        self.whole(401, "wrong key")

    def answer_broken(self) -> None:
        self.whole(500, "EngineDeadError")

    def answer_elsewhere(self) -> None:
        self.head(307, Location=self.server.other, Content_Length=0)

    def answer_loop(self) -> None:
        self.head(302, Location=self.path, Content_Length=0)

    def answer_open(self) -> None:
        """Whole by its length; the connection stays open all the same."""
        self.whole(200, "line\nno more")
        self.server.over.wait()

    def answer_big(self) -> None:
        self.whole(200, "x" * BIG)

    def answer_endless(self) -> None:
        self.head(200)
        self.drip(b"x" * 65536, pause=0)

    def answer_cut(self) -> None:
        self.head(200, Content_Length=100)
        self.wfile.write(b"begin")

    def answer_chunks(self) -> None:
        self.head(200, Transfer_Encoding="chunked")
        for piece in (b"data: 1\n\ndata", b": 2\n\n", b"data: [DONE]\n\ndata: 3\n", b""):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))

    def answer_cutchunks(self) -> None:
        self.head(200, Transfer_Encoding="chunked")
        self.wfile.write(b"8\r\ndata: 1\n\r\n")

    def answer_unfinished(self) -> None:
        self.head(200)
        self.wfile.write(b"data: 1\n\ndata: 2")

    def answer_nothing(self) -> None:
        """Closes without a word."""

    def answer_silence(self) -> None:
        self.server.over.wait()

    def answer_noise(self) -> None:
        self.wfile.write(b"\x16\x03 no HTTP\r\n\r\n")

    def answer_dripbody(self) -> None:
        self.head(200)
        self.drip(b"x")

    def answer_dripchunks(self) -> None:
        self.head(200, Transfer_Encoding="chunked")
        self.drip(b"2\r\nx\n\r\n")

    def answer_driphead(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
        self.drip(b"x")

    def answer_driperror(self) -> None:
        self.head(503)
        self.drip(b"x")

    def drip(self, piece: bytes, pause: float = 0.02) -> None:
        """A piece again and again, each well within a limit that counts from the last, until the client hangs up."""
        try:
            while not self.server.over.wait(pause):
                self.wfile.write(piece)
        except OSError:
            self.server.hung_up.set()

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        if context:
            self.socket = context.wrap_socket(self.socket, server_side=True)
        self.seen: list[tuple[str, str, dict[str, str], bytes]] = []
        self.over, self.hung_up = threading.Event(), threading.Event()
        self.other = ""
        self.url = f"{'https' if context else 'http'}://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def end(self) -> None:
        self.over.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, *_request: Any) -> None:
        """A client that hangs up is what is tested."""


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def one(context: ssl.SSLContext | None = None) -> Server:
        servers.append(Server(context))
        return servers[-1]

    yield one
    for server in servers:
        server.end()


@pytest.fixture
def server(serve: Callable[..., Server]) -> Server:
    return serve()


def get(server: Server, name: str, **more: Any) -> http_client.Answer:
    return http_client.request(f"{server.url}/{name}", **{"timeout": 10, **more})


def test_a_whole_answer(server: Server) -> None:
    answer = get(server, "whole")
    assert (answer.status, answer.text, answer.json(), answer.error) == (200, '{"here": "é"}', {"here": "é"}, "")
    assert answer.headers["content-length"] == str(len(answer.body))
    assert server.seen[0][0] == "GET" and "authorization" not in server.seen[0][2]


def test_a_body_is_json_and_posted(server: Server) -> None:
    get(server, "whole", body={"n": 1}, headers=http_client.bearer(KEY))
    get(server, "whole", body={})
    get(server, "whole", method="DELETE")
    (first, second, third) = server.seen
    assert (first[0], json.loads(first[3]), first[2]["content-type"]) == ("POST", {"n": 1}, "application/json")
    assert first[2]["authorization"] == f"Bearer {KEY}"
    assert (second[0], second[3]) == ("POST", b"{}")
    assert (third[0], third[3]) == ("DELETE", b"")


@pytest.mark.parametrize(
    ("name", "status", "text"), [("refused", 401, "wrong key"), ("broken", 500, "EngineDeadError")]
)
def test_a_refusal_is_an_answer(server: Server, name: str, status: int, text: str) -> None:
    answer = get(server, name)
    assert (answer.status, answer.text, answer.error) == (status, text, "")


def test_a_redirect_is_reported_and_the_key_goes_nowhere_else(serve: Callable[..., Server]) -> None:
    server, other = serve(), serve()
    server.other = f"{other.url}/whole"
    for body in (None, {"n": 1}):
        answer = get(server, "elsewhere", headers=http_client.bearer(KEY), body=body)
        assert (answer.status, answer.headers["location"], answer.error) == (307, server.other, "")
    assert get(server, "loop").status == 302
    assert len(server.seen) == 3 and other.seen == []


@pytest.mark.parametrize("name", ["dripbody", "dripchunks", "driphead", "silence"])
@pytest.mark.parametrize("until", [None, lambda _line: False], ids=["whole", "lines"])
def test_the_time_limit_holds_for_the_whole_answer(server: Server, name: str, until: Any) -> None:
    answer = get(server, name, timeout=0.3, until=until)
    assert answer.error == http_client.TIMED_OUT
    assert answer.status == (200 if name in ("dripbody", "dripchunks") else 0)
    if name != "silence":
        assert server.hung_up.wait(10)


def test_a_status_is_known_although_the_reason_drips(server: Server) -> None:
    answer = get(server, "driperror", timeout=0.3)
    assert (answer.status, answer.error) == (503, http_client.TIMED_OUT)
    assert set(answer.body) == set(b"x")


@pytest.mark.parametrize("until", [None, lambda _line: False], ids=["whole", "lines"])
def test_no_more_than_so_many_bytes_are_read(server: Server, until: Any) -> None:
    answer = get(server, "big", most_bytes=BIG, until=until)
    assert (len(answer.body), answer.error) == (BIG, "")
    answer = get(server, "big", most_bytes=BIG - 1, until=until)
    assert (answer.status, len(answer.body), answer.error) == (
        200,
        BIG - 1,
        f"the answer has more than {BIG - 1} bytes",
    )
    answer = get(server, "endless", most_bytes=BIG, until=until)
    assert (len(answer.body), answer.error) == (BIG, f"the answer has more than {BIG} bytes")
    assert server.hung_up.wait(10)


@pytest.mark.parametrize(
    ("name", "status", "error"),
    [
        ("cut", 200, "the answer ended 95 bytes early"),
        ("cutchunks", 200, "IncompleteRead"),
        ("nothing", 0, "Remote end closed connection without response"),
        ("noise", 0, "\x16\x03 no HTTP"),
    ],
)
@pytest.mark.parametrize("until", [None, lambda _line: False], ids=["whole", "lines"])
def test_an_answer_that_breaks_off(server: Server, name: str, status: int, error: str, until: Any) -> None:
    answer = get(server, name, until=until)
    assert answer.status == status and error in answer.error
    assert answer.body == {"cut": b"begin", "cutchunks": b"data: 1\n"}.get(name, b"")


def test_a_stream_is_read_by_lines_until_one_is_enough(server: Server) -> None:
    lines: list[bytes] = []

    def enough(line: bytes) -> bool:
        lines.append(line)
        return b"[DONE]" in line

    answer = get(server, "chunks", until=enough)
    assert (answer.status, answer.error) == (200, "")
    assert [line for line in lines if line] == [b"data: 1", b"data: 2", b"data: [DONE]"]


def test_a_line_without_an_end_counts(server: Server) -> None:
    lines: list[bytes] = []
    assert get(server, "unfinished", until=lines.append).error == ""  # type: ignore[arg-type]
    assert lines == [b"data: 1", b"", b"data: 2"]


@pytest.mark.parametrize("until", [None, lambda _line: False], ids=["whole", "lines"])
def test_a_whole_answer_does_not_wait_for_the_end_of_the_connection(server: Server, until: Any) -> None:
    answer = get(server, "open", until=until)
    assert (answer.text, answer.error) == ("line\nno more", "")


def test_a_long_line_comes_in_one_piece(server: Server) -> None:
    lines: list[bytes] = []
    get(server, "big", until=lines.append)  # type: ignore[arg-type]
    assert [len(line) for line in lines] == [BIG]


def test_the_lines_of_a_refusal_are_not_a_stream(server: Server) -> None:
    lines: list[bytes] = []
    answer = get(server, "refused", until=lines.append)  # type: ignore[arg-type]
    assert (answer.text, lines) == ("wrong key", [])


def test_proxies_of_the_environment_are_used_on_request_only(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, proxy = serve(), serve()
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy.url)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert get(server, "whole").status == 200
    assert (len(server.seen), proxy.seen) == (1, [])
    assert get(server, "whole", proxies=True).status == 200
    assert len(server.seen) == 1 and proxy.seen[0][1] == f"{server.url}/whole"
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert get(server, "whole", proxies=True).status == 200
    assert (len(server.seen), len(proxy.seen)) == (2, 1)


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("http://127.0.0.1:1/", "refused"),
        ("http://[::1/", "Invalid IPv6 URL"),
        ("http:///v1", "no host given"),
        ("http://127.0.0.1:x/", "nonnumeric port"),
        ("http://127.0.0.1/a b", "control characters"),
        ("no-url", "unknown url type"),
        ("file:///etc/passwd", "unknown url type: file"),
        ("ftp://127.0.0.1/", "unknown url type: ftp"),
        ("data:,x", "unknown url type: data"),
    ],
)
def test_an_url_without_an_answer(url: str, error: str) -> None:
    answer = http_client.request(url, timeout=5)
    assert (answer.status, answer.body) == (0, b"") and error in answer.error


def test_an_error_of_the_system_is_its_words_without_the_number() -> None:
    assert http_client.request("http://127.0.0.1:1/", timeout=5).error == "Connection refused"


@pytest.mark.parametrize("key", [f"{KEY}\n", f"{KEY}\r\nX: y", f"{KEY}\u2019"])
def test_a_key_that_cannot_be_sent_is_not_in_the_error(server: Server, key: str) -> None:
    answer = get(server, "whole", headers=http_client.bearer(key))
    assert answer.status == 0 and KEY not in answer.error
    assert "Authorization" in answer.error and server.seen == []


def test_the_time_limit_holds_for_all_addresses_of_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[float] = []

    def connect(_address: Any, timeout: float) -> socket.socket:
        limits.append(timeout)
        raise OSError(f"address {len(limits)}")

    kind = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_name, **_kind: [(*kind, ("192.0.2.1", 80))] * 3)
    monkeypatch.setattr(socket, "create_connection", connect)
    assert http_client.request("http://a.name/", timeout=5).error == "address 3"
    assert len(limits) == 3 and 5 >= limits[0] > limits[1] > limits[2]


def test_a_handshake_has_what_connecting_left(monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    limits: list[float] = []
    connect = socket.create_connection

    def recorded(address: Any, timeout: float) -> socket.socket:
        limits.append(timeout)
        return connect(address, timeout)

    monkeypatch.setattr(socket, "create_connection", recorded)
    with http_client._Limit(60).connect(("127.0.0.1", server.server_port)) as connected:
        left = connected.gettimeout()
    assert left and 0 < left < limits[0]


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    path = tmp_path / "both.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=x".split()
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(path), "-out", str(tmp_path / "cert.pem")]
    subprocess.run(command, check=True, capture_output=True)
    path.write_text(path.read_text() + (tmp_path / "cert.pem").read_text())
    return path


def test_tls(serve: Callable[..., Server], certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = serve(context)
    assert "CERTIFICATE_VERIFY_FAILED" in get(server, "whole").error
    known = http_client.Trust(ca_file=str(certificate))
    assert get(server, "whole", trust=known).json() == {"here": "é"}
    by_text = http_client.Trust(ca_data=(certificate.parent / "cert.pem").read_text())
    assert get(server, "whole", trust=by_text).status == 200
    wrong = get(server, "whole", trust=http_client.Trust(ca_data="nothing"))
    assert wrong.status == 0 and wrong.error.startswith("ca_data holds no certificate")
    assert get(server, "big", trust=known).text == "x" * BIG
    slow = get(server, "dripbody", trust=known, timeout=0.5)
    assert (slow.status, slow.error) == (200, http_client.TIMED_OUT)


def test_a_certificate_that_is_known_itself(serve: Callable[..., Server], certificate: Path, tmp_path: Path) -> None:
    """By a name that is not in it, also where an authority signed it; no other one, of the same authority, counts."""
    files = {}
    for name in ("own", "sister"):
        files[name] = tmp_path / f"{name}.pem"
        request = (
            f"openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN={name} -keyout {files[name]}.key"
        )
        signed = f"openssl x509 -req -days 1 -CA {tmp_path / 'cert.pem'} -CAkey {certificate} -CAcreateserial"
        wanted = subprocess.run(request.split(), check=True, capture_output=True).stdout
        made = subprocess.run(signed.split(), input=wanted, check=True, capture_output=True).stdout
        # behind its own a server shows those of the authorities
        files[name].write_text(made.decode() + (tmp_path / "cert.pem").read_text())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files["own"], f"{files['own']}.key")
    server = serve(context)
    assert get(server, "whole", trust=http_client.Trust(certificate=str(files["own"]))).status == 200
    assert (
        "CERTIFICATE_VERIFY_FAILED"
        in get(server, "whole", trust=http_client.Trust(certificate=str(files["sister"]))).error
    )
    by_authority = get(server, "whole", trust=http_client.Trust(ca_file=str(tmp_path / "cert.pem")))
    assert "CERTIFICATE_VERIFY_FAILED" in by_authority.error, "its names count then"


@pytest.mark.parametrize("trust", ["ca_file", "certificate"])
def test_a_file_without_a_certificate_is_the_answer(server: Server, tmp_path: Path, trust: str) -> None:
    (tmp_path / "empty").write_text("nothing")
    for file, why in (("empty", "holds no certificate"), ("missing", "cannot be read: No such file")):
        path = tmp_path / file
        answer = http_client.request("https://127.0.0.1:9/", timeout=5, trust=http_client.Trust(**{trust: str(path)}))
        assert answer.status == 0 and answer.error.startswith(f"{path} {why}")
    assert get(server, "whole", trust=http_client.Trust(str(path), str(path))).status == 200, "plain HTTP reads no file"


def test_a_tls_handshake_without_an_answer(server: Server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        answer = http_client.request(f"https://127.0.0.1:{silent.getsockname()[1]}/", timeout=0.2)
    assert (answer.status, answer.error) == (0, http_client.TIMED_OUT)


@pytest.mark.parametrize("text", ["", "<html>", "[1]", "null", b"\xff"])
def test_what_is_no_json_object_is_empty(text: str | bytes) -> None:
    assert http_client.json_object(text) == {}
    assert http_client.json_object(b'{"a": 1}') == {"a": 1}
