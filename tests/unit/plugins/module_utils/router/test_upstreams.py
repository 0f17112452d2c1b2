# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which replicas are ready, and what nginx and smg get of them."""

from __future__ import annotations

import json

from ansible_collections.fullrank.serving.plugins.module_utils.router import upstreams
from ansible_collections.fullrank.serving.plugins.module_utils.router.upstreams import Server
from router_samples import ROUTE, SMG


def servers(*ready: bool) -> list[Server]:
    made = [
        Server(f"n{number}", f"http://192.0.2.{number}:8000", "http://x/ready") for number in range(1, len(ready) + 1)
    ]
    for one, is_ready in zip(made, ready, strict=True):
        one.heard(is_ready, "")
    return made


def test_a_supervisors_word_counts_at_once_and_its_silence_after_two_questions() -> None:
    (one,) = servers(True)
    one.heard(None, "timed out")
    assert one.is_ready  # a packet may be lost
    one.heard(None, "timed out")
    assert not one.is_ready
    one.heard(True, "ready")
    assert one.is_ready and one.misses == 0
    one.heard(False, "backoff 4 s")
    assert not one.is_ready and one.summary == "backoff 4 s"
    one.heard(None, "timed out")
    assert not one.is_ready
    assert Server("hand", "http://192.0.2.7:80").is_ready  # there is no supervisor to ask


def test_silence_is_noticed_well_within_ten_seconds() -> None:
    assert upstreams.MISSES * upstreams.ASK_S + (upstreams.MISSES + 1) * upstreams.POLL_S + 0.5 <= 8


def test_nginx_gets_the_replicas_that_are_ready() -> None:
    text = upstreams.servers_file(ROUTE, servers(True, False))
    assert "server 192.0.2.1:8000 max_fails=1 fail_timeout=5s;  # n1" in text
    assert "server 192.0.2.2:8000 max_fails=1 fail_timeout=5s down;  # n2" in text
    assert "map $uri $replicas_open { default 1; }" in text
    state = text.partition("$replicas_state { default '")[2].partition("';")[0]
    assert json.loads(state) == {"deployment": "tiny", "ready": True, "servers": {"n1": True, "n2": False}}
    assert "map $uri $replicas_open { default 0; }" in upstreams.servers_file(ROUTE, servers(False, False))
    balanced = upstreams.servers_file({**ROUTE, "balancer": SMG}, servers(True, False))
    assert "server 127.0.0.1:18080;" in balanced and "192.0.2.1" not in balanced


def test_smg_gets_the_workers_that_it_lacks_and_loses_those_that_are_gone() -> None:
    def listed(number: int, status: str = "ready") -> dict[str, str]:
        return {"id": f"id{number}", "url": f"http://192.0.2.{number}:8000", "status": status}

    three = servers(True, False, True)
    assert upstreams.workers_to_change(three, [listed(1), listed(2)]) == (["http://192.0.2.3:8000"], ["id2"])
    assert upstreams.workers_to_change(three, [listed(1), listed(2, "draining"), listed(3)]) == ([], [])
    # it still drains: added again when it is gone
    assert upstreams.workers_to_change(three, [listed(1, "draining"), listed(3)]) == ([], [])
    assert upstreams.worker({**ROUTE, "balancer": SMG}, "http://a:1") == {
        "url": "http://a:1",
        "models": [{"id": "tiny"}],
        "runtime": "sglang",
        "connection_mode": "http",
        "health": {"disable_health_check": True},
    }
