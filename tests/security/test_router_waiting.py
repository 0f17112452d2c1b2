# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The place where requests wait for a replica: whose it is, for how long, and with how large a body."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.router import haproxy
from router_loopback import BODY, TEAM_KEY, Router, post, running, until


def down(router: Router) -> None:
    for one in router.engines:
        one.ready = False
        one.stop()
    until(lambda: router.ask("GET", "/fullrank/ready", key=None).status == 503)


def up(router: Router) -> None:
    for one in router.engines:
        one.ready = True
        one.start()


def waiting(router: Router, number: int) -> bool:
    return f"fullrank_router_requests_waiting {number}\n" in router.metrics()


@pytest.mark.parametrize("replicas", [1, 2])
def test_a_client_that_leaves_while_it_waits_gives_its_place_back(tmp_path: Path, replicas: int) -> None:
    """While others go on waiting, and where no other waits."""
    with running(tmp_path, replicas=replicas, queue=5, queue_timeout=120) as router:
        down(router)
        stays: list[int] = []
        asking = threading.Thread(target=lambda: stays.append(router.ask().status))
        asking.start()
        until(lambda: waiting(router, 1))
        for _ in range(2):
            gone = [router.connect() for _ in range(4)]
            for one in gone:
                one.sendall(post(len(BODY), TEAM_KEY) + BODY)
            until(lambda: waiting(router, 3))  # the team's key has two at a time
            for one in gone:
                one.close()
            until(lambda: waiting(router, 1))
        up(router)
        asking.join()
        assert stays == [200]
        until(lambda: waiting(router, 0))


def test_a_large_body_may_wait_as_long_as_a_small_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(haproxy, "BODY_S", 3)
    with running(tmp_path, replicas=1, queue_timeout=60) as router:
        down(router)
        found: list[int] = []
        bodies = b"x" * 1_000_000, BODY
        asking = [threading.Thread(target=lambda own=one: found.append(router.ask(body=own).status)) for one in bodies]
        for one in asking:
            one.start()
        until(lambda: waiting(router, 2))
        threading.Event().wait(3 * haproxy.BODY_S)
        assert found == []
        up(router)
        for one in asking:
            one.join()
        assert found == [200, 200]
