# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""For the tests of all scenarios: waiting, reboots, and requests to an endpoint."""

from __future__ import annotations

import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import documented_sockets
import pytest
from testinfra.host import Host

NET = os.environ.get("GROUND_NET", "10.77.0")
"""The first three numbers of the nodes' addresses; node n1 is NET.11."""


def until(condition: Callable[[], Any], limit: float = 60, what: str = "", every: float = 1) -> float:
    """Wait until the condition holds, at most ``limit`` seconds; how many seconds that took."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < limit, f"{what or 'it'}: not within {limit:.0f} s"
        time.sleep(every)
    return time.monotonic() - started


def undocumented_sockets(host: Host) -> list[str]:
    """What of this collection listens on a node and is not in the table of docs/security.md."""
    found = []
    for protocol, address, port, pids in documented_sockets.sockets(host.check_output(documented_sockets.LISTEN)):
        for pid in pids:
            group = host.run(f"cat /proc/{pid}/cgroup").stdout.strip().splitlines()
            units = [part for line in group for part in line.split("/") if part.endswith(".service")]
            found.append((units[-1] if units else "", protocol, address, port))
    assert found, "nothing listens, or ss shows no processes"
    return documented_sockets.undocumented(found)


def booted_at(host: Host) -> str:
    """When the node's systemd started; empty while the node does not answer."""
    try:
        return str(host.check_output("systemctl show --value --property=UserspaceTimestampMonotonic"))
    except (RuntimeError, AssertionError):
        return ""


def reboot(*hosts: Host) -> None:
    """Reboot the nodes at the same time, and wait until all of them answer again."""
    before = [booted_at(host) for host in hosts]
    for host in hosts:
        host.check_output("systemd-run --quiet --on-active=1 systemctl reboot")  # after ssh has left
    for host, start in zip(hosts, before, strict=True):
        until(lambda host=host, start=start: booted_at(host) not in ("", start), 300, "the reboot of a node")


def post(url: str, body: dict[str, Any], key: str | None = None, timeout: float = 60) -> dict[str, Any]:
    """The JSON that an endpoint answers; raises HTTPError where it refuses, OSError where nothing listens."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    with urllib.request.urlopen(
        urllib.request.Request(url, json.dumps(body).encode(), headers), timeout=timeout
    ) as got:
        return dict(json.load(got))


def chat(address: str, key: str | None = None, text: str = "Are all ranks up?", **options: Any) -> dict[str, Any]:
    """The answer of the model tiny at port 8000 of a node; the options go into the body of the request."""
    body = {"model": "tiny", "messages": [{"role": "user", "content": text}], "max_tokens": 8, **options}
    return post(f"http://{address}:8000/v1/chat/completions", body, key)


def assert_key_required(ask: Callable[[str | None], Any]) -> None:
    """A request without a key, or with another one, is refused."""
    for key in (None, "sk-another"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            ask(key)
        assert refused.value.code == 401
