# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The replicas behind a router."""

from __future__ import annotations

from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.router import replicas
from router_samples import SERVER, SMG, WITH_KEYS

TWO = [SERVER, {"name": "n2", "url": "http://[fd00::2]:8000", "ready": "http://[fd00::2]:29600/ready"}]


def sections(**changes: Any) -> dict[str, list[str]]:
    found = replicas.sections({**WITH_KEYS, "servers": TWO, **changes}, "/run/x", "/etc/x/tiny", 60)
    return {one[0]: one[1:] for one in found}


def test_each_replica_is_asked_on_its_own_and_the_others_follow() -> None:
    found = sections()
    assert "tcp-check connect addr fd00::2 port 8000" in found["backend check_n2"]
    assert "server n2 [fd00::2]:29600 check" in found["backend check_n2"]
    (server,) = [line for line in found["backend live"] if line.startswith("server n2")]
    assert server.startswith("server n2 [fd00::2]:8000 track check_n2/n2")


def test_requests_wait_behind_the_replicas_where_there_is_a_queue() -> None:
    assert "server fullrank-waiting unix@/run/x/waiting.sock backup" in sections()["backend replicas"]
    alone = sections(servers=TWO[:1])["backend replicas"]
    assert "server fullrank-waiting unix@/run/x/waiting.sock" in alone
    assert "use-server n1 if { srv_is_up(check_n1/n1) }" in alone
    without = sections(queue=0)
    assert "frontend waiting" not in without and "fullrank-waiting" not in str(without)


def test_what_was_taken_is_sent_again_only_where_that_is_wanted() -> None:
    assert "retry-on conn-failure empty-response 500" in sections()["backend replicas"]
    assert "retry-on conn-failure" in sections(resend=False)["backend replicas"]
    assert not [line for line in sections()["backend live"] if "retry-on" in line]


def test_smg_stands_between_two_halves() -> None:
    found = sections(balancer=SMG)
    assert "server fullrank-smg 127.0.0.1:18080 track fullrank-smg/fullrank-smg" in found["backend replicas"]
    assert (
        "bind 127.0.0.1:18082" in found["frontend worker_n1"] and "bind 127.0.0.1:18083" in found["frontend worker_n2"]
    )
    assert [line for line in found["frontend worker_n1"] if "status 401" in line]
    assert "use-server n2 if { srv_is_up(check_n2/n2) }" in found["backend worker_n2"]
    assert replicas.worker_ports({**WITH_KEYS, "servers": TWO, "balancer": SMG}) == [18082, 18083]
