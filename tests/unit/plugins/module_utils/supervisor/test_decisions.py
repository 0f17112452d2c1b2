# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The supervisors' decisions, played with engines, nodes and a network that do anything at any moment (`supervisor_world`)."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.supervisor import decisions
from ansible_collections.fullrank.serving.plugins.module_utils.supervisor.decisions import (
    RUNNING,
    STOPPED,
    Engine,
    Head,
    Health,
    Limits,
)
from ansible_collections.fullrank.serving.plugins.module_utils.supervisor.start_order import StartOrder
from supervisor_world import BLIND, IN_ORDER, LIMITS, TOGETHER, World, notice, play, restarts, start

RANKS = 3


@pytest.mark.parametrize("seed", [*range(80), 3889])  # the last found a fault that no other of 5000 did
def test_whatever_happens_there_is_one_group_or_none_and_it_comes_back(seed: int) -> None:
    play(seed)  # more of them: make soak-sim


@pytest.mark.parametrize("seed", range(4))
def test_recordings_neither_end_a_group_nor_keep_it_from_beginning(seed: int) -> None:
    world = World(RANKS, random.Random(seed))
    world.network.repeats = 40
    world.bring_up(20)
    for node in world.nodes:  # its peers' recordings are as old as its conversation is young
        world.step(15)
        node.supervise()
    world.step(60)
    assert world.is_up and world.head.epoch == 1 and not world.head.failures
    world.nodes[1].boot()
    world.step(8)
    assert world.head.failures == 1
    world.bring_up(40)


def test_recordings_did_end_a_group_of_the_version_before() -> None:
    world = World(RANKS, random.Random(0), before=frozenset(range(RANKS))).bring_up()
    world.network.repeats = 10
    world.step(40)
    assert world.head.failures


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
def test_an_upgrade_of_one_supervisor_after_the_other_does_not_end_the_group(order: tuple[int, ...]) -> None:
    world = World(RANKS, random.Random(0), before=frozenset(range(RANKS))).bring_up()
    for rank in order:
        world.nodes[rank].upgrade()
        world.step(60)  # a rolling run that stops here leaves both versions beside each other
        assert world.is_up and world.head.epoch == 1
    world.nodes[2].die()
    world.step(4)
    assert world.bring_up().head.epoch == 2


@pytest.mark.parametrize("before", [{0}, {1}, {0, 2}])
def test_both_versions_beside_each_other_start_and_end_as_one_group(before: set[int]) -> None:
    for rank in range(RANKS):
        world = World(RANKS, random.Random(rank), before=frozenset(before)).bring_up()
        world.nodes[rank].die()
        world.step(6)
        assert all(node.runs != 1 for node in world.nodes)
        world.bring_up()


@pytest.mark.parametrize("rank", range(RANKS))
def test_a_start_that_takes_long_is_not_silence(rank: int) -> None:
    world = World(RANKS)
    world.slow_start = 20
    assert world.bring_up(80).head.failures == 0
    old = World(RANKS, before=frozenset({rank}))
    old.slow_start = 20
    with pytest.raises(AssertionError, match="not up"):
        old.bring_up(80)


def test_a_rank_that_does_not_start_in_time_ends_the_epoch_and_no_late_start_survives() -> None:
    world = World(RANKS, random.Random(1))
    world.bring_up()
    world.nodes[2].die()
    world.step(1)
    world.slow_start = 1e9
    world.step(10 + decisions.START_S + LIMITS.meet)
    assert "did not start after" in world.head.failure["why"]
    world.slow_start = 0
    world.bring_up(60 + decisions.BACKOFF_MOST_S + LIMITS.meet)


def test_lost_datagrams_end_no_epoch() -> None:
    """A twentieth of them lost: see make soak-sim. Here many more are, so that a short time shows as much as a long one."""
    assert restarts(seed=1, loss=0.3, hours=0.2, ranks=8) == 0
    assert restarts(seed=1, loss=0.3, hours=0.2, ranks=8, before=True) > 5


@pytest.mark.parametrize("fault", ["die", "cut", "boot"])
def test_a_dead_rank_is_noticed_as_soon_as_by_the_version_before(fault: str) -> None:
    now, before = ([notice(seed, fault, before=b) for seed in range(60)] for b in (False, True))
    assert max(now) <= (2.25 if fault == "die" else 6.5)  # two ticks, and a datagram; SILENCE_S, a tick, and a datagram
    assert sum(now) <= sum(before) * 1.02


def test_a_memory_that_cannot_be_written_ends_nothing_and_starts_nothing_twice() -> None:
    world = World(RANKS, random.Random(1))
    for node in world.nodes:
        node.disk_full = True
    world.bring_up()
    world.step(60)
    assert world.is_up and world.head.epoch == 1
    world.nodes[1].supervise()  # it cannot know that the engine is its own
    world.step(3)
    assert world.nodes[1].runs == 0
    assert world.bring_up().head.epoch == 2


def test_ranks_start_in_order_where_the_launch_wants_it() -> None:
    world = World(order=IN_ORDER)
    seen: list[int] = []
    for _ in range(120):
        world.step(0.25)
        seen += [n.rank for n in world.nodes if n.engine.state == RUNNING and n.rank not in seen]
    assert seen == [0, 1, 2]
    assert world.is_up


@pytest.mark.parametrize(
    ("order", "opens"), [(TOGETHER, "alone"), (TOGETHER, "others"), (BLIND, "never"), (BLIND, "others")]
)
def test_others_start_together_behind_the_head_whenever_it_listens(order: StartOrder, opens: str) -> None:
    world = World(ranks=6, order=order, opens=opens)
    began: dict[int, float] = {}
    for _ in range(120):
        world.step(0.25)
        for node in world.nodes:
            if node.is_up:
                began.setdefault(node.rank, world.now)
    assert began.pop(0) < min(began.values())
    assert max(began.values()) - min(began.values()) <= 2 * decisions.TICK_S
    assert world.is_up and not world.head.failures


def test_a_group_whose_head_listens_after_the_others_never_started_in_order() -> None:
    world = World(order=IN_ORDER, opens="others")
    world.step(LIMITS.meet + 30)
    assert world.head.failure["why"] == "does not listen on port 1 after 600 s"


def test_a_head_that_never_listens_where_it_should_ends_the_epoch_unless_it_answers() -> None:
    def group(answers: bool) -> Head:
        head = Head(["n0", "n1"], "s", Limits(meet=10, ready=3600), 0.0, TOGETHER)
        other = {"state": STOPPED, "tried": 0, "epoch": 0, "fault": "", "lacks": "", "spec": "s", "leaving": False}
        for now in range(1, 20):
            head.hear(1, decisions.Report(other, now, now))
            decision = head.tick(now, Engine(RUNNING, 1, 1) if head.epoch else Engine(STOPPED), Health(answers=answers))
            if decision.begin:
                other |= {"state": RUNNING, "tried": 1, "epoch": 1}
        return head

    assert group(answers=True).failure is None
    assert group(answers=False).failure["why"] == "does not listen on port 1 after 10 s"


def test_hundreds_of_ranks_start_as_soon_as_a_few() -> None:
    """A thousand: make soak-sim."""
    few, many = (start(seed=1, ranks=ranks, loss=0.05) for ranks in (3, 200))
    assert many <= few + 10
    assert start(seed=1, ranks=30, loss=0.05, order=IN_ORDER, opens="alone") > 4 * few


@pytest.mark.parametrize("before", [{0}, {1}, {0, 2}, {1, 2}])
def test_a_rank_of_the_version_before_starts_with_the_others(before: set[int]) -> None:
    """Its words are the same: it hears of its own order only."""
    world = World(RANKS, random.Random(1), before=frozenset(before), order=TOGETHER).bring_up()
    world.nodes[1].die()
    world.step(6)
    assert world.bring_up().head.epoch == 2


def test_an_upgrade_to_another_order_keeps_the_group() -> None:
    """The head reads its new configuration, which has an order, while the group runs."""
    world = World(RANKS, random.Random(0), before=frozenset(range(RANKS)), order=TOGETHER, opens="others")
    world.opens = "alone"
    world.bring_up()
    world.opens = "others"
    for node in world.nodes:
        node.upgrade()
        world.step(20)
    assert world.is_up and world.head.epoch == 1
    world.nodes[2].die()
    world.step(4)
    assert world.bring_up().head.epoch == 2


@pytest.mark.parametrize("rank", range(RANKS))
@pytest.mark.parametrize("fault", ["kill", "behead", "boot", "cut", "hang"])
def test_every_fault_is_noticed_within_ten_seconds_and_ends_all(rank: int, fault: str) -> None:
    world = World().bring_up()
    node = world.nodes[rank]
    if fault == "kill":
        node.die()
    elif fault == "behead":
        node.behead()
    elif fault == "boot":
        node.boot()
        node.off = 30
    elif fault == "cut":
        node.cut = True
    else:
        node.engine = replace(node.engine, fault="its process 7 (vllm) is stopped by a signal")
    world.step(10)
    epoch = world.nodes[0].core.failure["epoch"] if world.nodes[0].core.failure else 1
    assert epoch == 1
    assert all(n.engine.epoch != 1 for n in world.nodes)
    if fault in {"kill", "behead", "hang"}:
        world.step(10)
        assert world.is_up  # nothing was waited for but the shortest pause
    else:
        assert not world.nodes[0].ready


def test_a_supervisor_that_starts_again_leaves_the_engine_alone() -> None:
    world = World().bring_up()
    for node in world.nodes:
        node.supervise()
        world.step(20)
        assert world.is_up
        assert {n.engine.epoch for n in world.nodes} == {1}


def test_an_engine_that_somebody_else_started_is_killed() -> None:
    for rank in range(RANKS):
        world = World()
        world.nodes[rank].engine = Engine(RUNNING, epoch=0)
        world.step(15)
        assert world.nodes[rank].engine.epoch == 1


def test_pauses_double_up_to_a_bound_and_begin_again_after_a_quiet_time() -> None:
    assert [decisions.pause(n) for n in (0, 1, 2, 3, 7, 8, 9, 1000)] == [0, 2, 4, 8, 128, 256, 300, 300]
    world = World().bring_up()
    head = world.nodes[0].core
    for failures in (1, 2, 3):
        world.nodes[1].die()
        world.step(2)
        assert head.failures == failures
        world.bring_up()
    world.step(int(decisions.STABLE_PAUSES * decisions.pause(3)) + 1)
    world.nodes[1].die()
    world.step(2)
    assert head.failures == 1


@pytest.mark.parametrize("rank", range(RANKS))
def test_nothing_starts_while_something_is_missing(rank: int) -> None:
    world = World()
    world.nodes[rank].engine = Engine(STOPPED, lacks="/srv/models/x/READY is not there")
    world.step(60)
    assert all(node.engine.state == STOPPED for node in world.nodes)
    assert world.nodes[0].core._summary == f"rank {rank} (n{rank}): /srv/models/x/READY is not there"
    world.nodes[rank].engine = Engine(STOPPED)
    world.bring_up()
    assert world.nodes[0].core.failures == 0


def test_ranks_with_different_launches_do_not_start() -> None:
    world = World()
    world.nodes[2].core.spec = "other"
    world.step(30)
    assert "rank 2 (n2) has another launch" in world.nodes[0].core._summary


def test_a_rank_that_leaves_ends_the_epoch_without_a_failure() -> None:
    world = World().bring_up()
    world.nodes[2].core.leaving = True
    world.step(3)
    assert world.is_up  # its engine still ends by itself
    world.nodes[2].die()
    world.step(3)
    assert all(node.engine.state == STOPPED for node in world.nodes)
    assert world.nodes[0].core.failures == 0
    assert world.nodes[0].core._summary == "waiting for rank 2 (n2)"


def alone() -> Head:
    return Head(["n0"], "s", LIMITS, 0.0)


def test_one_rank_alone_is_the_same_thing() -> None:
    head = alone()
    decision = head.tick(1, Engine(STOPPED), Health())
    assert (decision.act, decision.epoch) == ("start", 1)
    head.tick(2, Engine(RUNNING, 1, 1), Health())
    assert head.tick(3, Engine(RUNNING, 1, 1), Health(answers=True)).view["ready"]
    down = head.tick(4, Engine(STOPPED, 0, 1, "its unit is failed"), Health())
    assert (down.view["phase"], down.view["summary"], down.view["ready"]) == ("backoff", "backoff 2 s", False)
    assert down.view["failure"] == {"epoch": 1, "rank": 0, "why": "its unit is failed"}
    assert head.tick(6, Engine(STOPPED, 0, 1), Health()).epoch == 2


def test_a_stall_is_shown_and_a_hang_ends_the_epoch() -> None:
    head = alone()
    running = Engine(RUNNING, 1, 1)
    head.tick(1, Engine(STOPPED), Health())
    head.tick(2, running, Health())
    head.tick(3, running, Health(answers=True))
    stalled = head.tick(4, running, Health(answers=True, stalled=True, summary="nothing for 31 s"))
    assert (stalled.act, stalled.view["phase"], stalled.view["ready"]) == ("", "stalled", False)
    hung = head.tick(5, running, Health(answers=True, stalled=True, hung=True, summary="nothing for 121 s"))
    assert (hung.act, hung.view["failure"]["why"]) == ("kill", "nothing for 121 s")


def test_steps_have_limits() -> None:
    head = Head(["n0"], "s", Limits(meet=10, ready=20), 0.0)
    head.tick(1, Engine(STOPPED), Health())
    head.tick(2, Engine(RUNNING, 1, 1), Health())
    head.tick(22, Engine(RUNNING, 1, 1), Health(summary="HTTP 503"))
    assert head.failure is None
    head.tick(23, Engine(RUNNING, 1, 1), Health(summary="HTTP 503"))
    assert head.failure["why"] == "not ready after 20 s; the endpoint answers: HTTP 503"
