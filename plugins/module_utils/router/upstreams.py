# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a router's watcher decides: which replicas get requests, and how nginx and smg learn it. Pure; private."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

POLL_S = 1.0
"""Between two questions to a supervisor."""

ASK_S = 2.0
"""How long a supervisor may take to answer. It answers from memory, at once."""

MISSES = 2
"""A supervisor that did not answer so many times in a row is gone; with the times above noticed within 5 s."""

FAIL_TIMEOUT_S = 5
"""For how long nginx itself leaves out a replica that refused a connection; the watcher knows better by then."""


@dataclass
class Server:
    """A replica as its router sees it.

    name: for people. url: of the engine. ready: the address that reports whether it is ready; empty for one without check, which
    always gets requests.
    """

    name: str
    url: str
    ready: str = ""
    is_ready: bool = False
    summary: str = "no answer yet"
    misses: int = 0

    def __post_init__(self) -> None:
        if not self.ready:
            self.is_ready, self.summary = True, "not checked"

    def heard(self, answer: bool | None, summary: str) -> None:
        """The supervisor answered yes or no, which counts at once, or nothing (None)."""
        self.misses = self.misses + 1 if answer is None else 0
        if answer is not None:
            self.is_ready = answer
        elif self.misses >= MISSES:
            self.is_ready = False
        self.summary = summary


def is_open(servers: Iterable[Server]) -> bool:
    """Whether there is anybody to send requests to."""
    return any(server.is_ready for server in servers)


def servers_file(route: Mapping[str, Any], servers: Sequence[Server]) -> str:
    """What nginx must know of the moment: included by the configuration of `router.files`."""
    balancer = route["balancer"]
    if balancer:
        lines = [f"    server 127.0.0.1:{balancer['port']};"]
    else:
        lines = [
            f"    server {server.url.partition('://')[2]} max_fails=1 fail_timeout={FAIL_TIMEOUT_S}s"
            + ("" if server.is_ready else " down")
            + f";  # {server.name}"
            for server in servers
        ]
    state = {
        "deployment": route["name"],
        "ready": is_open(servers),
        "servers": {server.name: server.is_ready for server in servers},
    }
    return "\n".join(
        [
            "# Written by the router's watcher whenever a replica becomes ready or is no longer.",
            "upstream replicas {",
            "    zone replicas 256k;",
            "    least_conn;",
            *lines,
            "    keepalive 64;",
            "}",
            f"map $uri $replicas_open {{ default {int(is_open(servers))}; }}",
            f"map $uri $replicas_state {{ default '{json.dumps(state)}'; }}",
            "",
        ]
    )


def worker(route: Mapping[str, Any], url: str) -> dict[str, Any]:
    """How smg learns of a replica (POST /workers).

    It gets what it would otherwise read with the API key, so that it needs none: with one it would answer clients that send
    none. It does not ask for health itself: ``/health`` knows nothing of other ranks.
    """
    return {
        "url": url,
        "models": [{"id": route["model"]}],
        "runtime": route["balancer"]["runtime"],
        "connection_mode": "http",
        "health": {"disable_health_check": True},
    }


def workers_to_change(servers: Sequence[Server], listed: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[str]]:
    """URLs that smg lacks, and ids of those it should forget; listed: its workers (GET /workers)."""
    wanted = {server.url for server in servers if server.is_ready}
    leaving = [one for one in listed if one["status"] == "draining"]
    known = {one["url"] for one in listed}
    return sorted(wanted - known), [one["id"] for one in listed if one["url"] not in wanted and one not in leaving]
