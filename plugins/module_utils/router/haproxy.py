# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HAProxy's configuration of one route. Pure; private to this collection.

Source of every directive: HAProxy's Configuration Manual, versions 2.4 to 3.0. What is newer than 2.4 stands in ``.if``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common.host_port import host_port
from ansible_collections.fullrank.serving.plugins.module_utils.router import replicas
from ansible_collections.fullrank.serving.plugins.module_utils.router.words import (
    ENGINE,
    NONE,
    OPEN,
    answer,
    error,
    quoted,
)
from ansible_collections.fullrank.serving.plugins.module_utils.systemd.unit_text import HEADER

MINIMUM = (2, 4)
"""The oldest HAProxy that knows all of it: ``http-request wait-for-body`` and ``.if`` by version."""

ACCOUNTS = (2, 5)
"""The oldest HAProxy with filters in Lua: without them no counts by key, no chunked body that is larger than a buffer, and no
limit to the time of a larger one with its length."""

HEADERS_S = 10
"""What a client gets to send the head of a request in. Clients send it in one piece."""

BODY_S = 60
"""What a client gets to send a body in: 256 MiB at 36 Mbit/s."""

STALL_S = 30
"""What a client that is to send or to take something may do nothing for."""

RESERVE = 8192
"""Bytes of a buffer that hold the head of a request; so much less of a body can be kept to be sent again."""

LARGE, LATE = "large", "late"
"""What the Lua program sets txn.ended to when it ends a request because of its body.

HAProxy answers as to a malformed request; the status is put right afterwards. The text cannot be: HAProxy 2.6.12 crashes where
that error is an ``lf-string`` (seen).
"""

MINUTE_S = 60
"""What rates are counted over."""

THREADS = 8
"""The most that it runs on: beside engines their cores are their own."""

METRICS_CONNECTIONS = 16
"""Connections of those that read metrics."""

_CLEANED = (
    "api-key", "connection-token", "cookie", "forwarded", "http2-settings", "keep-alive", "proxy", "proxy-authorization",
    "proxy-connection", "te", "trailer", "upgrade", "via",
    # who asks, another method or path, and what engines take orders from: the rank (X-data-parallel-rank), the priority
    # (X-Vllm-Priority, X-Override-Priority), another host (X-Override-Bootstrap-Host). Read in vLLM 0.32.0
    # (entrypoints/generate/base/serving.py) and SGLang 0.5.23 (srt/entrypoints/request_headers.py)
    "x- -m beg",
    # some servers read X_Y as X-Y
    "_ -m sub",
)  # fmt: skip
"""Headers of a client that go no further: they tell a server who asks or what is asked for, or are of one hop. As the action
``del-header`` takes them."""

_REQUEST_ID = "^[A-Za-z0-9._-]{1,64}$"
"""A client's X-Request-Id that goes on. vLLM writes it to its log and, as the answer's id, into each event of a stream; before
0.14 it is the name of the request in the engine, where two with one name disturb each other (vLLM 27987, 34415). So each gets
an end of its own."""

_SINGLE = ("authorization", "api-key", "content-length", "content-type", "host", "transfer-encoding", "x-api-key")
"""Headers of which a request has one at most: of two, two programs may each believe another."""


def keys(route: Mapping[str, Any]) -> list[str]:
    """The names by which requests are counted."""
    return [NONE, *([ENGINE, *(one["name"] for one in route["teams"])] if route["key"] else [OPEN])]


def configuration(route: Mapping[str, Any], *, run: str, maps: str, program: str, digest: str, threads: int) -> str:
    """The whole file. run: folder of the running instance, for sockets. maps: path of the files with keys, which end with
    ``.keys`` (hash, name of the key), ``.engine`` (the word "key", the engine's key) and ``.pem`` (certificate and its key).
    program: path of the Lua program.

    digest: what the instance reports, so that others see by which configuration it goes. threads: of the machine, of which it
    takes no more than `THREADS`.
    """
    threads = min(threads, THREADS)
    parts = [
        _global(route, run, program, digest, threads),
        _defaults(route),
        _clients(route, maps),
        *replicas.sections(route, run, maps, BODY_S),
        _metrics(route),
        *_tables(route),
    ]
    return f"# {HEADER}\n" + "\n\n".join("\n    ".join(lines) for lines in parts) + "\n"


def _global(route: Mapping[str, Any], run: str, program: str, digest: str, threads: int) -> list[str]:
    return [
        "global",
        f"description {digest}",
        f"maxconn {route['max_connections'] + route['queue'] + METRICS_CONNECTIONS}",
        f"stats socket {run}/stats.sock mode 600 level operator expose-fd listeners",
        # an instance that was replaced answers its requests to their end
        f"hard-stop-after {route['timeout'] + BODY_S}s",
        f"tune.bufsize {route['buffer_kib'] * 1024}",
        f"tune.maxrewrite {RESERVE}",
        f"nbthread {threads}",
        f"setenv FULLRANK_ROUTER_KEYS {quoted(' '.join(keys(route)))}",
        f"lua-load-per-thread {program}",
    ]


def _defaults(route: Mapping[str, Any]) -> list[str]:
    name = route["name"]
    malformed = f"the request is malformed, or its body is larger than {route['max_body_mib']} MiB or came too slowly"
    errors = {
        400: (malformed, "invalid_request_error"),
        408: ("the request did not arrive in time", "invalid_request_error"),
        500: ("the router failed", "server_error"),
        502: (f"a replica of {name} failed while it answered", "server_error"),
        503: (f"no replica of {name} is ready", "unavailable"),
        504: (f"a replica of {name} did not answer in time", "server_error"),
    }
    return [
        "defaults",
        "mode http",
        # a connection of its own for each request: answers cannot be mixed up, and none is closed while it is taken
        "option http-server-close",
        # one request at a time on a connection: HTTP/2 would carry 100, past the limits of connections
        "option disable-h2-upgrade",
        "http-reuse never",
        # a client that hangs up ends its request
        "option abortonclose",
        f"timeout connect {replicas.CONNECT_S}s",
        f"timeout http-request {HEADERS_S}s",
        "timeout http-keep-alive 60s",
        f"timeout client {STALL_S}s",
        f"timeout server {route['timeout']}s",
        f"timeout queue {max(route['queue_timeout'], 1)}s",
        "timeout check 2s",
        *(
            f"http-error status {status} content-type application/json"
            + (" hdr Retry-After 5" if status == 503 else "")
            + f" string {quoted(error(message, kind, None if status == 400 else status))}"
            for status, (message, kind) in errors.items()
        ),
    ]


def _too_large(route: Mapping[str, Any]) -> str:
    return f"the request is larger than {route['max_body_mib']} MiB"


def _clients(route: Mapping[str, Any], maps: str) -> list[str]:
    """The order matters: who is refused costs as little as possible, and no body is read before the key is known."""
    bind = f"bind {host_port(route['host'], route['port'])}"
    if route["tls"]:
        bind += f" ssl crt {maps}.pem ssl-min-ver TLSv1.2 alpn http/1.1"
    most = route["max_body_mib"] * 1024 * 1024
    buffer = route["buffer_kib"] * 1024
    return [
        "frontend clients",
        bind,
        f"maxconn {route['max_connections']}",
        ".if version_atleast(2.5)",
        # beside the bytes of a body the program sees one for its end
        f"filter lua.account {most + 1} {BODY_S}",
        ".endif",
        *(
            f"http-after-response set-status {status} if {{ status 400 }} {{ var(txn.ended) -m str {why} }}"
            for why, status in ((LARGE, 413), (LATE, 408))
        ),
        "http-after-response set-var(txn.code) status",
        "tcp-request connection track-sc0 src table addresses",
        f"tcp-request connection reject if {{ sc0_conn_cur gt {route['address_connections']} }}",
        *_state(route),
        *_cross_origin(route),
        *_what_is_asked(route),
        "http-request "
        + answer(429, "this address sends too many requests", "rate_limit_error", _again(route["address_rate"]))
        + f" if {{ sc0_gpc0_rate ge {route['address_rate']} }}",
        # those that were refused do not count: who sends more than it may still gets what it may
        "http-request sc-inc-gpc0(0)",
        "http-request "
        + answer(413, _too_large(route), "invalid_request_error")
        + f" if {{ req.hdr_val(content-length) gt {most} }}",
        *_key(route, maps),
        *_headers(maps, route["engine_key"]),
        f"http-request wait-for-body time {BODY_S}s if METH_POST",
        ".if version_before(2.5)",
        "http-request "
        + answer(411, "the request is large and has no Content-Length", "invalid_request_error")
        + f" if {{ req.fhdr(transfer-encoding) -m found }} {{ req.body_len ge {buffer - 2 * RESERVE} }}",
        ".endif",
        "default_backend replicas",
    ]


def _state(route: Mapping[str, Any]) -> list[str]:
    """The router's own word on its replicas, for whoever balances routers."""
    names = [one["name"] for one in route["servers"]]
    servers = ", ".join(f'"{name}": %[srv_is_up(check_{name}/{name}),iif(true,false)]' for name in names)
    text = f'{{"deployment": "{route["name"]}", "ready": READY, "servers": {{{servers}}}}}'
    return [
        f"http-request return status {status} content-type application/json"
        f" lf-string {quoted(text.replace('READY', ready))} if METH_GET {{ path -m str /fullrank/ready }} {condition}"
        for status, ready, condition in (
            (200, "true", "{ nbsrv(ready) gt 0 }"),
            (503, "false", "{ nbsrv(ready) eq 0 }"),
        )
    ]


def _cross_origin(route: Mapping[str, Any]) -> list[str]:
    """What browsers ask before a page of another site may send a request, and what is sent with every answer."""
    if not route["origins"]:
        return []
    known = (
        "{ req.fhdr(origin) -m found }" if "*" in route["origins"] else _any_of("req.fhdr(origin)", route["origins"])
    )
    return [
        f"http-request set-var(txn.origin) req.fhdr(origin) if {known}",
        "http-after-response set-header Access-Control-Allow-Origin %[var(txn.origin)] if { var(txn.origin) -m found }",
        "http-after-response set-header Vary Origin if { var(txn.origin) -m found }",
        'http-request return status 204 hdr Access-Control-Allow-Methods "GET, POST" hdr Access-Control-Max-Age 600'
        ' hdr Access-Control-Allow-Headers "%[req.fhdr(access-control-request-headers)]"'
        " if METH_OPTIONS { var(txn.origin) -m found } { req.fhdr(access-control-request-method) -m found }",
    ]


def _any_of(fetch: str, words: Iterable[str]) -> str:
    return f"{{ {fetch} -m str {' '.join(quoted(word) for word in words)} }}"


def _what_is_asked(route: Mapping[str, Any]) -> list[str]:
    """Paths are compared as they were sent, byte by byte: what an engine might read as one of them is not one of them."""
    lines = [
        "acl malformed url -m sub '#'",
        *(f"acl malformed req.fhdr_cnt({header}) gt 1" for header in _SINGLE),
        "http-request "
        + answer(400, "the request is malformed", "invalid_request_error")
        + " if malformed or !{ url -m beg / } or { req.fhdr(transfer-encoding) -m found } { req.fhdr(content-length) -m found }",
    ]
    for method, words in (("POST", route["post"]), ("GET", route["get"])):
        exact = [word for word in words if not word.startswith("^")]
        patterns = [word for word in words if word.startswith("^")]
        if exact:
            lines.append(f"acl served_{method} path -m str {' '.join(exact)}")
        lines += [f"acl served_{method} path -m reg {quoted(pattern)}" for pattern in patterns]
    lines.append(
        "http-request "
        + answer(404, "the router passes on no such request", "invalid_request_error")
        + " unless METH_POST served_POST or METH_GET served_GET"
    )
    return lines


def _key(route: Mapping[str, Any], maps: str) -> list[str]:
    """The key by its SHA-256: what is compared, and how long that takes, tells nothing of it. It is forgotten at once."""
    if not route["key"]:
        return [f"http-request set-var(txn.team) str({OPEN})"]
    lines = [
        # the first of the three that is there is meant
        "http-request set-var(txn.token) req.fhdr(authorization),word(2,' ')"
        " if { req.fhdr(authorization) -m reg -i '^bearer +[^ ]+$' }",
        "http-request set-var(txn.token) req.fhdr(x-api-key)"
        " if !{ req.fhdr(authorization) -m found } { req.fhdr(x-api-key) -m found }",
        "http-request set-var(txn.token) req.fhdr(api-key) if !{ req.fhdr(authorization) -m found }"
        " !{ req.fhdr(x-api-key) -m found } { req.fhdr(api-key) -m found }",
        f"http-request set-var(txn.team) var(txn.token),sha2(256),hex,lower,map_str({maps}.keys)"
        " if { var(txn.token) -m found }",
        "http-request unset-var(txn.token)",
        "http-request lua.refused 401 unless { var(txn.team) -m found }",
        "http-request "
        + answer(401, "the key is missing or wrong", "invalid_request_error", "WWW-Authenticate Bearer")
        + " unless { var(txn.team) -m found }",
    ]
    lines += [
        f"http-request track-sc1 var(txn.team) table {table} if {{ var(txn.team) -m str {' '.join(names)} }}"
        for table, (_unused, names) in _limited(route).items()
    ]
    for one in route["teams"]:
        of_team = f"{{ var(txn.team) -m str {one['name']} }}"
        if one["concurrency"]:
            message = f"the key {one['name']} has {one['concurrency']} requests at a time"
            refusal = answer(429, message, "rate_limit_error", "Retry-After 1")
            lines += _refused(refusal, f"{of_team} {{ sc1_conn_cur gt {one['concurrency']} }}")
        if one["rate"]:
            message = f"the key {one['name']} has {one['rate']} requests a minute"
            refusal = answer(429, message, "rate_limit_error", _again(one["rate"]))
            lines += _refused(refusal, f"{of_team} {{ sc1_gpc0_rate ge {one['rate']} }}")
    if _limited(route):
        lines.append("http-request sc-inc-gpc0(1)")
    return lines


def _again(rate: int) -> str:
    """When the next request of so many a minute may come."""
    return f"Retry-After {-(-MINUTE_S // rate)}"


def _period(rate: int) -> str:
    """Over which HAProxy counts so many requests a minute. It takes one event of the period before for one of now until the
    present period is over (``freq_ctr_total``, against flapping), so a rate of one comes to one in two periods.
    """
    return f"{MINUTE_S // 2 if rate == 1 else MINUTE_S}s"


def _limited(route: Mapping[str, Any]) -> dict[str, tuple[str, list[str]]]:
    """Name of a table → its period and the teams that are counted in it."""
    if not route["key"]:
        return {}
    found: dict[str, tuple[str, list[str]]] = {}
    for one in route["teams"]:
        if one["concurrency"] or one["rate"]:
            table = "teams_of_one" if one["rate"] == 1 else "teams"
            found.setdefault(table, (_period(one["rate"]), []))[1].append(one["name"])
    return found


def _refused(refusal: str, condition: str) -> list[str]:
    """A request that is refused because of its key's limits, and counted."""
    return [f"http-request lua.refused 429 if {condition}", f"http-request {refusal} if {condition}"]


def _headers(maps: str, key: bool) -> list[str]:
    """What goes on to an engine: its own key, a Host that is always the same, and who asked."""
    return [
        "http-request set-var(txn.request_id) req.fhdr(x-request-id)",
        *(f"http-request del-header {header}" for header in _CLEANED),
        "http-request set-header X-Request-Id %[var(txn.request_id)]-%[uuid()]"
        f" if {{ var(txn.request_id) -m reg {quoted(_REQUEST_ID)} }}",
        "http-request set-header Host localhost",
        f'http-request set-header Authorization "Bearer %[str(key),map_str({maps}.engine)]"'
        if key
        else "http-request del-header Authorization",
        "http-request set-header X-Forwarded-For %[src]",
    ]


def _metrics(route: Mapping[str, Any]) -> list[str]:
    return [
        "frontend metrics",
        f"bind {host_port(route['metrics_host'], route['metrics_port'])}",
        f"maxconn {METRICS_CONNECTIONS}",
        f"tcp-request connection reject unless {{ src 127.0.0.0/8 ::1 {' '.join(route['metrics_from'])} }}",
        "http-request use-service lua.keys if METH_GET { path -m str /metrics }",
        "http-request use-service prometheus-exporter if METH_GET { path -m str /metrics/haproxy }",
        "http-request return status 404",
    ]


def _tables(route: Mapping[str, Any]) -> list[list[str]]:
    """Of what is counted to keep limits, by address and by key."""
    stored = f"expire {2 * MINUTE_S}s store conn_cur,gpc0_rate"
    return [
        ["backend addresses", f"stick-table type ipv6 size 100k {stored}({_period(route['address_rate'])})"],
        *(
            [f"backend {table}", f"stick-table type string len 64 size 1k {stored}({period})"]
            for table, (period, _unused) in _limited(route).items()
        ),
    ]
