# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a router lets through: nothing without a key, no path that is not of the list, no body before the key is known."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.router import haproxy
from router_loopback import BODY, ENGINE_KEY, TEAM_KEY, Reply, Router, post, running, trusting, until

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Router]:
    with running(tmp_path_factory.mktemp("router"), replicas=1, origins=["https://chat.example"]) as one:
        yield one


def reached(router: Router) -> int:
    """How many requests have come to an engine."""
    return sum(len(one.heads) for one in router.engines)


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "path",
    [
        "/invocations",
        "/tokenize",
        "/detokenize",
        "/metrics",
        "/scale_elastic_ep",
        "/flush_cache",
        "/health",
        "/docs",
        "/openapi.json",
        "/",
        "*",
        "//v1/completions",
        "/v1//completions",
        "/v1/completions/",
        "/v1/../metrics",
        "/v1/./completions",
        "/v1/%2e%2e/metrics",
        "/v1/complet%69ons",
        "/v1%2fcompletions",
        "/V1/completions",
        "/v1/completions;x",
        "/v1/completions%00",
        "/v1/completions#x",
        "\\v1\\completions",
        "http://localhost/v1/completions",
        "http://localhost/invocations",
        "//localhost/v1/completions",
    ],
)
def test_a_path_that_is_not_of_the_list_reaches_no_engine(router: Router, method: str, path: str) -> None:
    before = reached(router)
    answer = router.ask(method, path)
    assert answer.status in (400, 404)
    assert reached(router) == before


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "CONNECT", "TRACE", "post", "X"])
def test_a_method_that_is_not_of_the_list_reaches_no_engine(router: Router, method: str) -> None:
    before = reached(router)
    assert router.ask(method, "/v1/completions").status in (400, 404)
    assert reached(router) == before


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": f"Bearer {ENGINE_KEY}x"},
        {"Authorization": f"Bearer {ENGINE_KEY[:-1]}"},
        {"Authorization": f"Basic {ENGINE_KEY}"},
        {"Authorization": ENGINE_KEY},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer"},
        {"Authorization": f"Bearer {ENGINE_KEY} {ENGINE_KEY}"},
        {"x-api-key": ""},
        {"x-api-key": "wrong"},
        {"api-key": "wrong"},
        {"Authorization": "Bearer wrong", "x-api-key": ENGINE_KEY},
        {"Authorization": "Basic x", "api-key": ENGINE_KEY},
        {"x-api-key": "wrong", "api-key": ENGINE_KEY},
    ],
)
@pytest.mark.parametrize(("method", "path"), [("POST", "/v1/completions"), ("GET", "/v1/models")])
def test_nothing_answers_without_a_key(router: Router, headers: dict[str, str], method: str, path: str) -> None:
    before = reached(router)
    answer = router.ask(method, path, key=None, **headers)
    assert (answer.status, answer.json["error"]["code"]) == (401, 401)
    assert answer.headers["www-authenticate"] == "Bearer"
    assert reached(router) == before


@pytest.mark.parametrize("key", [ENGINE_KEY, TEAM_KEY])
@pytest.mark.parametrize(
    "form", ["Authorization: Bearer {}", "authorization: bearer   {}", "X-Api-Key: {}", "api-key: {}"]
)
def test_an_engine_gets_its_own_key_whatever_the_client_sent(router: Router, key: str, form: str) -> None:
    head = f"POST /v1/completions HTTP/1.1\r\n{form.format(key)}\r\nHost: x\r\nConnection: close\r\n"
    answer = router.raw(f"{head}Content-Length: {len(BODY)}\r\n\r\n".encode() + BODY)
    assert answer.status == 200
    _line, headers = router.engines[0].heads[-1]
    sent = {name.lower(): value for name, value in headers.items()}
    assert sent["authorization"] == f"Bearer {ENGINE_KEY}"
    assert "x-api-key" not in sent and "api-key" not in sent and TEAM_KEY not in str(sent)


def test_an_engine_always_sees_the_same_host_and_no_header_that_tells_it_who_asks(router: Router) -> None:
    odd = "a.example/v1/../invocations?"
    names = (
        "X-Forwarded-For",
        "X-Forwarded-Host",
        "X-Forwarded-Proto",
        "Forwarded",
        "X-Real-IP",
        "Cookie",
        "TE",
        "Via",
        "X-HTTP-Method",
        "X-HTTP-Method-Override",
        "X-Forwarded-Scheme",
        "X-Original-URL",
        "X-data-parallel-rank",
        "X-Vllm-Priority",
        "X-Override-Bootstrap-Host",
        "X-SMG-Target-Worker",
        "x-fullrank-waited",
        "Content_Length",
        "Remote_User",
    )
    lines = [f"{name}: spoofed" for name in names]
    head = "\r\n".join(["POST /v1/completions HTTP/1.1", f"Host: {odd}", f"Authorization: Bearer {ENGINE_KEY}", *lines])
    answer = router.raw(f"{head}\r\nConnection: close\r\nContent-Length: {len(BODY)}\r\n\r\n".encode() + BODY)
    if answer.status == 400:  # newer versions refuse such a host themselves
        answer = router.ask(**{name.replace("-", "_"): "spoofed" for name in names if "_" not in name})
    assert answer.status == 200
    _line, headers = router.engines[0].heads[-1]
    sent = {name.lower(): value for name, value in headers.items()}
    assert sent.pop("host") == "localhost" and sent.pop("x-forwarded-for") == "127.0.0.1"
    assert "spoofed" not in str(sent) and odd not in str(sent)


@pytest.mark.parametrize(
    ("sent", "passed"),
    [
        (["order-4711.a_b"], "order-4711.a_b"),
        (["x" * 64], "x" * 64),
        (["x" * 65], ""),
        (["two words"], ""),
        (["a,b"], ""),
        (["good", "bad one"], ""),
        ([], ""),
    ],
)
def test_a_requests_id_is_bounded_and_no_two_requests_have_the_same(
    router: Router, sent: list[str], passed: str
) -> None:
    """Older versions of vLLM take it for the request itself."""
    found = []
    for _ in range(2):
        lines = "".join(f"X-Request-Id: {one}\r\n" for one in sent)
        head = f"GET /v1/models HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ENGINE_KEY}\r\nConnection: close\r\n{lines}\r\n"
        assert router.raw(head.encode()).status == 200
        _line, headers = router.engines[0].heads[-1]
        found.append({name.lower(): value for name, value in headers.items()}.get("x-request-id", ""))
    if passed:
        assert found[0] != found[1] and all(
            one.startswith(f"{passed}-") and len(one) <= len(passed) + 37 for one in found
        )
    else:
        assert found == ["", ""]


@pytest.mark.parametrize(
    "lines",
    [
        ["Content-Length: 5", "Content-Length: 6"],
        ["Content-Length: 5", "Content-Length: 5"],
        ["Content-Length: 5", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: chunked, identity"],
        ["Transfer-Encoding: xchunked"],
        ["Transfer-Encoding : chunked"],
        ["Content-Length: +5"],
        ["Content-Length: 5, 6"],
        ["Content-Length: -1"],
        ["Content-Length: 99999999999999999999"],
        ["Content-Length: 5", "Host: other"],
        ["Content-Length: 5", f"Authorization: Bearer {ENGINE_KEY}"],
        ["Content-Length: 5", "Content-Type: a", "Content-Type: b"],
        ["Content-Length: 5", " folded: header"],
        ["Content-Length: 5", "X\x00: nul"],
    ],
)
def test_a_request_that_two_programs_may_read_differently_reaches_no_engine(router: Router, lines: list[str]) -> None:
    before = reached(router)
    head = [
        "POST /v1/completions HTTP/1.1",
        "Host: x",
        f"Authorization: Bearer {ENGINE_KEY}",
        "Connection: close",
        *lines,
    ]
    hidden = f"GET /invocations HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ENGINE_KEY}\r\n\r\n"
    answer = router.raw("\r\n".join(head).encode() + b"\r\n\r\n0\r\n\r\n" + hidden.encode())
    # two that are the same, and a length beside chunks, HAProxy makes one of (RFC 9112, 6.3): then one request arrives, not two
    assert answer.status in (0, 200, 400, 408, 413, 501), answer
    assert reached(router) - before == (answer.status == 200)
    assert not [line for line, _unused in router.engines[0].heads if "invocations" in line]


def test_a_second_request_on_a_connection_needs_its_own_key(router: Router) -> None:
    first = f"GET /v1/models HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ENGINE_KEY}\r\n\r\n"
    second = "GET /v1/models HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with router.connect() as one:
        one.sendall((first + second).encode())
        data = b""
        while part := one.recv(65536):
            data += part
    assert data.count(b"HTTP/1.1 200") == 1 and data.count(b"HTTP/1.1 401") == 1


def test_a_request_is_refused_before_its_body_is_read(router: Router) -> None:
    """Five unfinished requests once took 498 MB of disk."""
    with router.connect(5) as one:
        one.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\n")
        assert one.recv(4096).startswith(b"HTTP/1.1 401")
    with router.connect(5) as one:
        one.sendall(post(MIB + 1))
        assert one.recv(4096).startswith(b"HTTP/1.1 413")


def test_a_body_that_just_fits_arrives_whole_in_one_piece_or_in_chunks(router: Router) -> None:
    body = b"x" * MIB
    assert router.ask(body=body).status == 200 and router.engines[0].bodies[-1] == body
    assert send_chunks(router, [body[:300000], body[300000:]]).status == 200
    assert router.engines[0].bodies[-1] == body


def send_chunks(router: Router, chunks: list[bytes]) -> Reply:
    head = f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ENGINE_KEY}\r\nConnection: close\r\n"
    sent = b"".join(b"%x\r\n%s\r\n" % (len(one), one) for one in chunks) + b"0\r\n\r\n"
    return router.raw(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + sent)


def test_a_chunked_body_is_bounded_too(router: Router) -> None:
    before = len(router.engines[0].bodies)
    answer = send_chunks(router, [b"x" * 700000] * 2)
    assert answer.status == 413
    assert "larger than 1 MiB" in answer.json["error"]["message"]
    assert len(router.engines[0].bodies) == before
    assert 'key="engine",code="413"' in router.metrics()


def test_a_chunked_body_that_comes_too_slowly_did_not_arrive_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(haproxy, "BODY_S", 2)
    head = f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ENGINE_KEY}\r\nConnection: close\r\n"
    with running(tmp_path, replicas=1) as router, router.connect() as one:
        one.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        one.settimeout(0.3)
        answer = b""
        with contextlib.suppress(ConnectionError):
            for _ in range(60):
                one.sendall(b"1000\r\n" + b"x" * 4096 + b"\r\n")
                with contextlib.suppress(TimeoutError):
                    answer += one.recv(4096)
                    break
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert router.engines[0].bodies == []


def test_a_head_that_comes_byte_by_byte_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(haproxy, "HEADERS_S", 2)
    with running(tmp_path, replicas=1) as router, router.connect() as one:
        one.sendall(b"POST /v1/completions HTTP/1.1\r\nX: ")
        one.settimeout(0.3)
        began, answer = time.monotonic(), b""
        with contextlib.suppress(ConnectionError):
            while not answer and time.monotonic() < began + 20:
                one.sendall(b"x")
                with contextlib.suppress(TimeoutError):
                    answer = one.recv(4096) or b"hung up"
        assert time.monotonic() - began < 15


def test_browsers_learn_which_sites_may_ask(router: Router) -> None:
    asks = {"Origin": "https://chat.example", "Access_Control_Request_Method": "POST"}
    before = reached(router)
    allowed = router.ask("OPTIONS", key=None, **asks, Access_Control_Request_Headers="authorization, content-type")
    assert allowed.status == 204
    assert allowed.headers["access-control-allow-origin"] == "https://chat.example"
    assert allowed.headers["access-control-allow-headers"] == "authorization, content-type"
    other = router.ask("OPTIONS", key=None, **{**asks, "Origin": "https://evil.example"})
    assert other.status == 404 and "access-control-allow-origin" not in other.headers
    assert reached(router) == before
    assert router.ask(Origin="https://chat.example").headers["access-control-allow-origin"] == "https://chat.example"
    assert "access-control-allow-origin" not in router.ask(Origin="https://evil.example").headers


def test_one_address_has_so_many_connections_and_no_more(tmp_path: Path) -> None:
    with running(tmp_path, replicas=1, address_connections=20) as router:
        held = [router.connect() for _ in range(20)]
        try:
            time.sleep(0.2)
            assert router.ask().status == 0
        finally:
            for one in held:
                one.close()
        until(lambda: router.ask().status == 200)


def test_a_thousand_idle_connections_cost_no_other_address_an_answer(tmp_path: Path) -> None:
    """They take the places of one address; others, here by another address of the loopback network, are answered."""
    with running(tmp_path, replicas=1, max_connections=400, address_connections=100) as router:
        held: list[socket.socket] = []
        for _ in range(1000):
            one = socket.socket()
            one.bind(("127.0.0.9", 0))
            one.settimeout(2)
            held.append(one)
            with contextlib.suppress(ConnectionError):  # those after the hundredth are refused
                one.connect(("127.0.0.1", router.route["port"]))
        try:
            assert router.ask().status == 200
        finally:
            for one in held:
                one.close()


def test_no_key_is_in_what_the_program_shows(router: Router) -> None:
    assert router.ask(key=TEAM_KEY).status == 200 and router.ask(key="a-wrong-key-4711").status == 401
    assert router.process is not None
    shown = router.metrics() + router.metrics("/metrics/haproxy") + router.log
    for path in ("cmdline", "environ"):
        shown += Path(f"/proc/{router.process.pid}/{path}").read_text()
    for command in ("show stat", "show info", "show table teams", "show env", "show sess all"):
        shown += router.command(command)
    for key in (ENGINE_KEY, TEAM_KEY, "a-wrong-key-4711"):
        assert key not in shown
    assert 'key="team-a"' in shown
    assert TEAM_KEY not in "".join(path.read_text() for path in router.folder.iterdir() if path.is_file())


def test_nothing_but_the_metrics_is_on_their_port(router: Router) -> None:
    assert "fullrank_router_requests_total" in router.metrics()
    assert "haproxy_backend_status" in router.metrics("/metrics/haproxy")
    assert router.metrics("/v1/models") == ""


def test_tls_is_1_2_or_newer_and_keys_do_not_pass_without(tmp_path: Path) -> None:
    made = ["openssl", "req", "-x509", "-nodes", "-newkey", "rsa:2048", "-subj", "/CN=x", "-days", "2"]
    files = ["-keyout", str(tmp_path / "key"), "-out", str(tmp_path / "certificate")]
    subprocess.run([*made, *files], check=True, capture_output=True)
    (tmp_path / "tiny.pem").write_text((tmp_path / "certificate").read_text() + (tmp_path / "key").read_text())
    with running(tmp_path, replicas=1, tls=True) as router:
        assert router.ask().status == 200
        router.tls = None  # plain HTTP from here on
        assert router.ask().status in (0, 400) and not router.engines[0].bodies[1:]
        for version, accepted in ((ssl.TLSVersion.TLSv1_1, False), (ssl.TLSVersion.TLSv1_2, True)):
            context = trusting()
            context.set_ciphers("ALL:@SECLEVEL=0")
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.maximum_version = version
            router.tls = context
            if accepted:
                assert router.ask().status == 200
            else:
                with pytest.raises(ssl.SSLError):
                    router.connect()
