# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The supervisors' decisions, played with engines, nodes and a network that do anything at any moment.

What must hold whatever happens: engines of two epochs never run at once, a group is never called ready that was not whole a
moment ago, what is left of a group ends, and when the faults end the group comes back.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.supervisor import decisions
from ansible_collections.fullrank.serving.plugins.module_utils.supervisor.decisions import (
    RUNNING,
    SILENCE_S,
    STOPPED,
    STOPPING,
    Engine,
    Follower,
    Head,
    Health,
    Limits,
    Report,
)
from ansible_collections.fullrank.serving.plugins.module_utils.supervisor.messages import Wire
from hypothesis import given, settings
from hypothesis import strategies as st

RANKS = 3
LIMITS = Limits(meet=600, ready=3600)


class Node:
    """A machine with an engine and its supervisor."""

    def __init__(self, world: World, rank: int) -> None:
        self.world, self.rank = world, rank
        self.cut = False
        self.boot()

    def boot(self) -> None:
        self.engine = Engine(STOPPED)
        self.off = 3  # ticks until its supervisor speaks again
        self.supervise()

    def supervise(self) -> None:
        """Its supervisor starts again; the engine stays."""
        nonce = self.world.nonces.__next__
        peers = range(1, RANKS) if self.rank == 0 else [0]
        self.wires = {peer: Wire(b"k", self.rank, peer, nonce) for peer in peers}
        now = self.world.now
        names = [f"n{i}" for i in range(RANKS)]
        self.core: Any = Head(names, "s", LIMITS, now) if self.rank == 0 else Follower(self.rank, "s", now)
        self.ready = False

    def die(self, why: str = "its unit is failed") -> None:
        if self.engine.state != STOPPED:
            self.engine = replace(self.engine, state=STOPPED, epoch=0, fault=why)

    def behead(self) -> None:
        """Its main process ends; others go on until somebody kills them."""
        if self.engine.state == RUNNING:
            self.engine = replace(self.engine, state=STOPPING, fault="its unit is deactivating")

    def tick(self) -> None:
        if self.off:
            self.off -= 1
            return
        now = self.world.now
        if self.rank == 0:
            whole = {n.engine.epoch for n in self.world.nodes if n.engine.state == RUNNING} == {self.core.epoch}
            whole = whole and all(n.engine.state == RUNNING for n in self.world.nodes)
            decision = self.core.tick(now, self.engine, Health(answers=whole or self.ready))
            self.ready = decision.view["ready"]
        else:
            decision = self.core.tick(now, self.engine)
        if decision.act == "start":
            assert self.engine.state == STOPPED
            self.engine = Engine(RUNNING, decision.epoch, decision.epoch, listens=True)
        elif decision.act == "kill":
            self.die("killed")
        for peer, wire in self.wires.items():
            self.world.send(self, peer, wire.pack(decision.body, now))


class World:
    """All nodes, their time, and a network that loses, delays and swaps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.nonces = (f"n{i}" for i in itertools.count())
        self.nodes: list[Node] = []
        self.nodes = [Node(self, rank) for rank in range(RANKS)]
        self.mail: list[tuple[float, int, int, bytes]] = []
        self.delay = 0.0
        self.whole_at = -1000.0

    def send(self, sender: Node, to: int, data: bytes) -> None:
        if not sender.cut:
            self.mail.append((self.now + self.delay, sender.rank, to, data))

    def step(self, seconds: int = 1) -> None:
        for _ in range(seconds):
            self.now += 1
            due = [m for m in self.mail if m[0] <= self.now]
            self.mail = [m for m in self.mail if m[0] > self.now]
            for _, sender, to, data in due:
                self.deliver(sender, self.nodes[to], data)
            for node in self.nodes:
                node.tick()
                self.check()

    def deliver(self, sender: int, node: Node, data: bytes) -> None:
        if node.cut or node.off:
            return
        message = node.wires[sender].unpack(data, self.now)
        if message and node.rank == 0:
            node.core.hear(sender, Report(message.body, self.now, message.heard_at))
        elif message:
            node.core.hear(message.body, self.now)

    def check(self) -> None:
        running = [node.engine.epoch for node in self.nodes if node.engine.state != STOPPED]
        assert len(set(running)) <= 1, f"engines of epochs {running} run at once"
        if len(running) == RANKS:
            self.whole_at = self.now
        if self.nodes[0].ready:
            assert self.now - self.whole_at <= SILENCE_S + 2, "half a group was called ready"

    @property
    def is_up(self) -> bool:
        return self.nodes[0].ready and all(node.engine.state == RUNNING for node in self.nodes)

    def bring_up(self) -> World:
        for _ in range(60):
            self.step()
            if self.is_up:
                return self
        raise AssertionError(f"not up: {self.nodes[0].core._summary}")


events = st.one_of(
    st.tuples(st.just("step"), st.integers(1, 12)),
    st.tuples(st.sampled_from(["kill", "behead", "boot", "supervise", "cut", "heal"]), st.integers(0, RANKS - 1)),
    st.tuples(st.just("delay"), st.integers(0, 7)),
    st.tuples(st.sampled_from(["lose", "swap", "repeat"]), st.just(0)),
)


@settings(max_examples=400, deadline=None)
@given(st.lists(events, max_size=60))
def test_whatever_happens_there_is_one_group_or_none_and_it_comes_back(story: list[tuple[str, int]]) -> None:
    world = World()
    old: list[tuple[float, int, int, bytes]] = []
    for event, value in story:
        if event == "step":
            world.step(value)
        elif event == "delay":
            world.delay = value
        elif event == "lose":
            world.mail.clear()
        elif event == "swap":
            world.mail.reverse()
        elif event == "repeat":  # somebody sends again what he has recorded
            world.mail += old
        elif event in ("cut", "heal"):
            world.nodes[value].cut = event == "cut"
        else:
            act = {"kill": Node.die, "behead": Node.behead, "boot": Node.boot, "supervise": Node.supervise}[event]
            act(world.nodes[value])
        old = (old + world.mail)[-50:]
    world.delay = 0
    for node in world.nodes:
        node.cut = False
    world.step(30 + int(decisions.BACKOFF_MOST_S))
    for _ in range(60):
        if world.is_up:
            return
        world.step()
    raise AssertionError(f"it did not come back: {world.nodes[0].core._summary}")


def test_ranks_start_in_order() -> None:
    world = World()
    seen: list[int] = []
    for _ in range(30):
        world.step()
        seen += [n.rank for n in world.nodes if n.engine.state == RUNNING and n.rank not in seen]
    assert seen == [0, 1, 2]
    assert world.is_up


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
