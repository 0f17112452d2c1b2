# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The replicas behind a router, as sections of HAProxy's configuration: who is asked whether he is ready, who gets a request and
what becomes of it when that fails. Pure; private to this collection.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common.host_port import host_port
from ansible_collections.fullrank.serving.plugins.module_utils.router.words import ENGINE, answer, place, quoted

RETRIES = 2
"""How often a request goes on to another replica. A request that ends its engine ends no more than three."""

CONNECT_S = 2
"""What a replica gets to take a connection in; it stands in the same building."""

CHECK_MS = 500
"""How often the supervisor of a replica is asked, and whether its engine takes connections. Less than the second that passes
before a request that was refused is tried at the same replica again: by then it is known."""

CHECK_AGAIN_MS = 200
CHECK_FALL = 2
"""Two answers in a row that are not 200, and nothing more is sent there: one may be lost on its way."""

ROUNDS = 5
"""How often a request waits, for replicas that are ready for a moment and then are not."""

KEEPALIVE = "idle 3s", "intvl 2s", "cnt 3"
LOST_MS = 9000
"""After so long without a sign of life of its node a connection is lost: what had no answer yet goes on to another replica."""


def sections(route: Mapping[str, Any], run: str, maps: str, body_s: int) -> list[list[str]]:
    """All of them: the backend of clients is ``replicas``, that of those who have waited ``live``. run, maps: as
    `haproxy.configuration` has them. body_s: what a body may take to arrive.
    """
    return [
        *(_check(one) for one in route["servers"]),
        *(_balancer(route, run, maps, body_s) if route["balancer"] else [_replicas(route, run)]),
        _ready(route),
        _live(route, run),
        *([_waiting(route, run)] if route["queue"] else ()),
    ]


def _check(one: Mapping[str, str]) -> list[str]:
    """Whether a replica gets requests: its engine takes connections, and its supervisor reports that the group is ready."""
    (engine, engine_port, _unused), (supervisor, port, path) = place(one["url"]), place(one["ready"])
    return [
        f"backend check_{one['name']}",
        "option tcp-check",
        f"tcp-check connect addr {engine} port {engine_port}",
        f"tcp-check connect addr {supervisor} port {port}",
        rf'tcp-check send "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"',
        f"tcp-check expect rstring {quoted('^HTTP/1.[01] 200 ')}",
        f"default-server inter {CHECK_MS}ms fastinter {CHECK_AGAIN_MS}ms fall {CHECK_FALL} rise 1",
        _server({**one, "url": one["ready"]}, "check"),
    ]


def _replicas(route: Mapping[str, Any], run: str) -> list[str]:
    """The replicas, and behind them the place where requests wait.

    A backup server gets requests when no other is left. Where there is one replica, what it lost goes there at once: it would
    be sent to the same replica again before that is known to have failed.
    """
    queue = f"server fullrank-waiting unix@{run}/waiting.sock"
    name = route["servers"][0]["name"]
    alone = len(route["servers"]) == 1
    place = [queue, f"use-server {name} if {{ srv_is_up(check_{name}/{name}) }}"] if alone else [f"{queue} backup"]
    return [
        "backend replicas",
        *_resend(route),
        *_balanced(route),
        *(place if route["queue"] else ()),
    ]


def _balanced(route: Mapping[str, Any], first: str = "") -> list[str]:
    """first: the replica that gets all requests while it can; the one with the fewest requests when empty."""
    lines = [
        "balance leastconn",
        f"retries {RETRIES}",
        "option redispatch 1",
        "option srvtcpka",
        *(f"srvtcpka-{setting}" for setting in KEEPALIVE),
    ]
    lines += [_server(one, f"track check_{one['name']}/{one['name']} tcp-ut {LOST_MS}ms") for one in route["servers"]]
    return [*lines, *([f"use-server {first} if {{ srv_is_up(check_{first}/{first}) }}"] if first else [])]


def _ready(route: Mapping[str, Any]) -> list[str]:
    """Those that are ready, to be counted: where requests go there are backup servers, which count too."""
    servers = [_server(one, f"track check_{one['name']}/{one['name']}") for one in route["servers"]]
    return ["backend ready", *servers]


def _live(route: Mapping[str, Any], run: str) -> list[str]:
    """The replicas for requests that have waited: what one of them has taken is not sent again."""
    return [
        "backend live",
        *_balanced(route),
        *([f"server fullrank-waiting unix@{run}/waiting.sock backup"] if route["queue"] else ()),
    ]


def _waiting(route: Mapping[str, Any], run: str) -> list[str]:
    """While no replica is ready a request goes through a socket of our own, and waits behind it."""
    return [
        "frontend waiting",
        f"bind unix@{run}/waiting.sock mode 600",
        # it comes here again where a replica was ready for a moment only
        f"http-request return status 503 hdr Retry-After 5 if {{ req.fhdr_cnt(x-fullrank-waited) ge {ROUNDS} }}",
        "http-request add-header x-fullrank-waited 1",
        f"http-request lua.wait ready {route['queue']} {route['queue_timeout']}",
        "http-request "
        + answer(503, f"no replica of {route['name']} is ready", "unavailable", "Retry-After 5")
        + " unless { var(txn.waited) -m str yes }",
        "default_backend live",
    ]


def _balancer(route: Mapping[str, Any], run: str, maps: str, body_s: int) -> list[list[str]]:
    """smg between two halves of HAProxy: behind it each replica is a server of its own, on the loopback address.

    smg chooses, for the sake of caches; that a request gets to somebody who is ready, and that it is sent again, is HAProxy's
    matter on the other side. So smg needs to know of no failure. Where it is gone itself, requests take the way of those that
    have waited.
    """
    balancer, most = route["balancer"], route["timeout"]
    sections = [
        [
            "backend fullrank-smg",
            "option tcp-check",
            f"default-server inter {CHECK_MS}ms fastinter {CHECK_AGAIN_MS}ms fall {CHECK_FALL} rise 1",
            f"server fullrank-smg 127.0.0.1:{balancer['port']} check",
        ],
        [
            "backend replicas",
            f"retries {RETRIES}",
            "option redispatch 1",
            f"server fullrank-smg 127.0.0.1:{balancer['port']} track fullrank-smg/fullrank-smg",
            *([f"server fullrank-waiting unix@{run}/waiting.sock backup"] if route["queue"] else ()),
        ],
    ]
    for number, one in enumerate(route["servers"]):
        refused = answer(401, "the key is missing or wrong", "invalid_request_error")
        keyed = f"{{ req.fhdr(authorization),field(2,' '),sha2(256),hex,lower,map_str({maps}.keys) -m str {ENGINE} }}"
        sections += [
            [
                f"frontend worker_{one['name']}",
                f"bind 127.0.0.1:{worker_ports(route)[number]}",
                f"timeout client {most}s",
                "http-request return status 200 if METH_GET { path -m str /health }",
                *([f"http-request {refused} unless {keyed}"] if route["engine_key"] else ()),
                "http-request set-header Host localhost",
                f"http-request wait-for-body time {body_s}s if METH_POST",
                f"default_backend worker_{one['name']}",
            ],
            [
                f"backend worker_{one['name']}",
                *_resend(route),
                *_balanced(route, first=one["name"]),
                *([f"server fullrank-waiting unix@{run}/waiting.sock backup"] if route["queue"] else ()),
            ],
        ]
    return sections


def worker_ports(route: Mapping[str, Any]) -> list[int]:
    """On the loopback address, one for each replica, behind smg's own two ports."""
    return [route["balancer"]["port"] + 2 + number for number in range(len(route["servers"]))]


def _resend(route: Mapping[str, Any]) -> list[str]:
    return ["retry-on conn-failure empty-response 500"] if route["resend"] else ["retry-on conn-failure"]


def _server(one: Mapping[str, str], *more: str) -> str:
    host, port, _unused = place(one["url"])
    return " ".join([f"server {one['name']} {host_port(host, port)}", *more])
