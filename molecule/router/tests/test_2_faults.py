# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A replica that is lost gets no requests, the others go on, and it gets some again when it is ready."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from clients import CACHED, PAIR, WIDE, Load, ready, supervisor, until
from testinfra.host import Host

CLIENTS = 2


@pytest.mark.parametrize(("endpoint", "unit", "name"), [(PAIR, "pair", "n1"), (CACHED, "cached", "n1_cached")])
def test_a_killed_replica_costs_no_request(nodes: dict[str, Host], endpoint: str, unit: str, name: str) -> None:
    port = 29600 if endpoint == PAIR else 29800
    other = supervisor(2, port)["epoch"]
    with Load(endpoint, CLIENTS) as load:
        until(lambda: load.answered("n1", 0) and load.answered("n2", 0))
        killed = time.monotonic()
        assert nodes["n1"].run(f"systemctl kill --signal=SIGKILL fullrank-rank@{unit}.service").rc == 0
        noticed = until(lambda: not ready(endpoint)["servers"][name])
        back = until(lambda: ready(endpoint)["servers"][name])
        until(lambda: load.answered("n1", killed))
    print(f"{unit}: noticed by the router after {noticed:.1f} s, back after {noticed + back:.1f} s; {load}")
    assert load.lost == []
    assert supervisor(2, port)["epoch"] == other  # what one replica does is nothing to the other


def test_a_hung_replica_gets_no_requests(nodes: dict[str, Host]) -> None:
    with Load(PAIR, CLIENTS) as load:
        until(lambda: load.answered("n2", 0))
        assert nodes["n2"].run("systemctl kill --signal=SIGSTOP fullrank-rank@pair.service").rc == 0
        noticed = until(lambda: not ready(PAIR)["servers"]["n2"])
        until(lambda: ready(PAIR)["servers"]["n2"])
        back = time.monotonic()
        until(lambda: load.answered("n2", back))
    print(f"hung: noticed by the router after {noticed:.1f} s; {load}")
    assert load.lost == []


def test_half_a_group_gets_no_requests_and_other_deployments_do_not_notice(nodes: dict[str, Host]) -> None:
    epoch = supervisor(1, 30000)["epoch"]
    others = [supervisor(node, 29600)["epoch"] for node in (1, 2)]
    with Load(WIDE, CLIENTS) as load, Load(PAIR, CLIENTS) as beside:
        until(lambda: load.answered("n1", 0))
        assert nodes["n2"].run("systemctl kill --signal=SIGKILL fullrank-rank@wide.service").rc == 0
        noticed = until(lambda: not ready(WIDE)["ready"])
        until(lambda: ready(WIDE)["ready"])
        back = time.monotonic()
        until(lambda: load.answered("n1", back))
    print(f"wide: noticed by the router after {noticed:.1f} s; {load}; beside it {beside}")
    assert load.lost == []  # they waited
    assert supervisor(1, 30000)["epoch"] > epoch
    assert beside.lost == []
    assert [supervisor(node, 29600)["epoch"] for node in (1, 2)] == others


def test_a_node_that_is_gone_is_left_out(ground: Callable[..., str]) -> None:
    ground("cut", "n1")
    try:
        with Load(PAIR, CLIENTS) as load:
            noticed = until(lambda: not ready(PAIR)["servers"]["n1"])
            out = time.monotonic()
            until(lambda: len(load.since(out)) > 20)
            ground("heal", "n1")
            until(lambda: ready(PAIR)["servers"]["n1"])
            back = time.monotonic()
            until(lambda: load.answered("n1", back))
    finally:
        ground("heal", "n1")
    print(f"cut: noticed by the router after {noticed:.1f} s; {load}")
    assert load.lost == []


@pytest.mark.parametrize("signal", ["SIGKILL", "SIGUSR2"])
def test_the_router_comes_back_and_takes_over_changes_without_losing_anybody(
    nodes: dict[str, Host], signal: str
) -> None:
    unit = "fullrank-router@cached.service"
    before = nodes["n3"].run(f"systemctl show --property=MainPID {unit}").stdout
    with Load(CACHED, CLIENTS) as load:
        until(lambda: load.answered("n1", 0))
        began = time.monotonic()
        assert nodes["n3"].run(f"systemctl kill --kill-who=main --signal={signal} {unit}").rc == 0
        time.sleep(3)
        until(lambda: load.answered("n1", time.monotonic() - 1) and load.answered("n2", began))
    after = nodes["n3"].run(f"systemctl show --property=MainPID {unit}").stdout
    print(f"{signal}: {load}")
    if signal == "SIGUSR2":
        assert before == after and load.lost == []
    else:
        assert before != after
    assert nodes["n3"].run("pgrep -c -f '[s]mg::router'").stdout.strip() == "1"
