# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A group of supervisors in a made world: nodes, engines, disks, a network, and somebody who records and repeats datagrams.

What is played is the real `decisions` and `messages`; a node of the version before has its own (`supervisor_before_*`). What must
hold is checked in every step: engines of two epochs never run at once, and a group is never called ready that was not whole a
moment ago. `play` is one story made from a seed.
"""

from __future__ import annotations

import heapq
import itertools
import random
from dataclasses import dataclass, replace
from typing import Any

import supervisor_before_decisions
import supervisor_before_messages
from ansible_collections.fullrank.serving.plugins.module_utils.supervisor import decisions, messages
from ansible_collections.fullrank.serving.plugins.module_utils.supervisor.decisions import (
    RUNNING,
    SILENCE_S,
    STARTING,
    STOPPED,
    STOPPING,
    Engine,
    Health,
    Limits,
)
from ansible_collections.fullrank.serving.plugins.module_utils.supervisor.start_order import StartOrder

STEP_S = 0.25
TICK = int(decisions.TICK_S / STEP_S)
AGAIN = int(decisions.AGAIN_S / STEP_S)
LIMITS = Limits(meet=600, ready=3600)
IN_ORDER, TOGETHER, BLIND = StartOrder(), StartOrder(together=True), StartOrder(together=True, port=0)
"""Over Ray, and of a configuration of the version before; of other engines; of one whose head opens no port that is known."""

RECORDED = 400
"""Datagrams that the attacker keeps: every one has the same chance to be among them, however old."""

READY_AGE_S = SILENCE_S + messages.FRESH_S + 2 * decisions.TICK_S
"""A word may be FRESH_S old when it comes, is believed for SILENCE_S, and both ends look once in a tick."""


class Node:
    """A machine with an engine and its supervisor, whose tick comes at a moment of its own."""

    def __init__(self, world: World, rank: int, before: bool = False) -> None:
        self.world, self.rank, self.before = world, rank, before
        self.phase = world.random.randrange(TICK) if world.random else 0
        self.cut = self.disk_full = False
        self.boot()

    def boot(self) -> None:
        self.engine = Engine(STOPPED)  # as it really is; epoch: what its supervisor knows of it
        self.runs = 0  # the epoch of what really runs
        self.saved = (0, 0)  # on its disk: tried, and the epoch of what was started
        self.start_at: float | None = None  # when systemd will have done the start
        self.start_epoch = 0
        self.off = 3 * TICK  # steps until its supervisor speaks again
        self.supervise()

    def supervise(self) -> None:
        """Its supervisor starts again, in the version that the node has now; the engine stays."""
        peers = range(1, self.world.ranks) if self.rank == 0 else [0]
        made: Any = supervisor_before_messages if self.before else messages
        rules: Any = supervisor_before_decisions if self.before else decisions
        nonce = self.world.nonces.__next__
        self.wires = {peer: made.Wire(b"k", self.rank, peer, nonce) for peer in peers}
        now = self.world.now
        names = [f"n{i}" for i in range(self.world.ranks)]
        if self.rank:
            self.core: Any = rules.Follower(self.rank, "s", now)
        else:
            self.core = rules.Head(names, "s", LIMITS, now, *(() if self.before else (self.world.order,)))
        self.ready = False
        self.waiting: list[tuple[int, bytes]] = []
        self.requested = False  # whether the start in progress is of this supervisor
        tried, known = self.saved
        self.engine = replace(self.engine, tried=tried, epoch=known if known == self.runs else 0)

    @property
    def state(self) -> tuple[str, int, bool]:
        """Of which `World.check` thinks."""
        return self.engine.state, self.runs, self.ready

    def upgrade(self) -> None:
        """What a rolling run does: the supervisor reads program and configuration again. It does so between two ticks."""
        if not (self.requested and self.start_at is not None):
            self.before = False
            self.supervise()

    @property
    def is_up(self) -> bool:
        return self.engine.state == RUNNING

    def die(self, why: str = "its unit is failed") -> None:
        if self.engine.state != STOPPED:
            self.engine = replace(self.engine, state=STOPPED, epoch=0, fault=why)
            self.runs = 0

    def behead(self) -> None:
        """Its main process ends; others go on until somebody kills them."""
        if self.engine.state == RUNNING:
            self.engine = replace(self.engine, state=STOPPING, fault="its unit is deactivating")

    def look(self) -> Engine:
        if self.start_at is None:
            return self.engine
        return Engine(STARTING, self.start_epoch if self.requested else 0, self.start_epoch)

    def step(self, count: int) -> None:
        if self.start_at is not None and self.world.now >= self.start_at:
            self.start_at = None
            self.runs = self.start_epoch
            known = self.start_epoch if self.requested else 0
            self.engine = Engine(RUNNING, known, self.start_epoch, listens=not self.rank and self.world.listens())
            self.save(known)
        if self.off:
            self.off -= 1
            return
        if self.before and self.requested and self.start_at is not None:
            return  # the version before waits for its systemctl, and is silent
        for sender, data in self.waiting:
            self.hear(sender, data)
        self.waiting = []
        if (count + self.phase) % TICK == 0:
            self.tick()
        elif (count + self.phase) % TICK == AGAIN and not self.before:
            for peer, wire in self.wires.items():
                self.world.send(self, peer, wire.again(self.world.now))

    def save(self, known: int) -> None:
        if not self.disk_full:
            self.saved = (self.engine.tried, known)

    def tick(self) -> None:
        if self.rank == 0 and self.is_up:
            self.engine = replace(self.engine, listens=self.world.listens())
        now, engine = self.world.now, self.look()
        if not self.disk_full and engine is self.engine and engine.epoch:
            self.saved = (engine.tried, engine.epoch)
        if self.rank == 0:
            whole = all(node.is_up and node.runs == self.core.epoch for node in self.world.nodes)
            decision = self.core.tick(now, engine, Health(answers=whole or self.ready))
            self.ready = decision.view["ready"]
        else:
            decision = self.core.tick(now, engine)
        if decision.act == "start":
            assert engine.state == STOPPED
            self.world.begin(self)
            self.start_epoch, self.requested = decision.epoch, True
            self.engine = replace(self.engine, tried=decision.epoch, epoch=0, fault="")
            self.save(0)
            self.start_at = now + self.world.start_s()
        elif decision.act == "kill":
            if self.start_at is not None and self.world.kill_comes_in_time():
                self.start_at = None
                self.engine = replace(self.engine, state=STOPPED, fault="its start was cancelled")
            self.die("killed")
        for peer, wire in self.wires.items():
            words = decision.body if self.before or self.rank else decision.words_for(peer)
            self.world.send(self, peer, wire.pack(words, now))

    def hear(self, sender: int, data: bytes) -> None:
        now = self.world.now
        message = self.wires[sender].unpack(data, now)
        if message is None:
            return
        if isinstance(message, messages.Unproven):
            self.world.send(self, sender, self.wires[sender].answer(message, now))
        elif self.rank == 0:
            self.core.hear(sender, decisions.Report(message.body, now, message.heard_at))
        else:
            self.core.hear(message.body, now)


@dataclass
class Network:
    """What happens to a datagram. loss: the share that is lost. delay: most seconds. repeats: recordings that are sent again in
    each second, to anybody, by somebody who has the address of a rank."""

    loss: float = 0.0
    delay: float = 0.0
    repeats: float = 0.0


class World:
    """All nodes, their time and their network. dice: what chance decides; without them nothing is left to it.

    order: of the start. opens: when the head of an epoch opens its port: ``alone``, after the ``others`` run, or ``never``.
    """

    def __init__(
        self,
        ranks: int = 3,
        dice: random.Random | None = None,
        before: frozenset[int] = frozenset(),
        order: StartOrder = IN_ORDER,
        opens: str = "alone",
    ) -> None:
        self.ranks, self.random = ranks, dice
        self.order, self.opens = order, opens
        self.now = 1000.0
        self.count = 0
        self.nonces = (f"n{i}" for i in itertools.count())
        self.network = Network()
        self.slow_start = 0.0
        self.mail: list[tuple[float, int, int, int, bytes]] = []
        self.sent = 0
        self.recorded: list[tuple[int, int, bytes]] = []
        self.whole_at = -1000.0
        self.nodes: list[Node] = []
        self.nodes = [Node(self, rank, rank in before) for rank in range(ranks)]

    def listens(self) -> bool:
        """Whether the head's port is open."""
        return self.opens == "alone" or (self.opens == "others" and all(node.is_up for node in self.nodes))

    def start_s(self) -> float:
        return self.random.uniform(0, self.slow_start) if self.random else self.slow_start

    def kill_comes_in_time(self) -> bool:
        """Whether systemd has the start already when the end is requested; if not, the start follows the end."""
        return not self.random or self.random.random() < 0.5

    def begin(self, node: Node) -> None:
        if node.rank == 0:
            others = [n.rank for n in self.nodes if n.engine.state != STOPPED or n.start_at is not None]
            assert not others, f"an epoch begins while engines of ranks {others} run"

    def send(self, sender: Node, to: int, data: bytes) -> None:
        if not data or sender.cut:
            return
        self.sent += 1
        self._record((sender.rank, to, data))
        if self.random and self.random.random() < self.network.loss:
            return
        delay = self.random.uniform(0, self.network.delay) if self.random else self.network.delay
        heapq.heappush(self.mail, (self.now + delay, self.sent, sender.rank, to, data))

    def _record(self, datagram: tuple[int, int, bytes]) -> None:
        if not self.random:
            return
        if len(self.recorded) < RECORDED:
            self.recorded.append(datagram)
        elif self.random.random() < 0.5:  # half of what he keeps is new, the other half of any age
            self.recorded[self.random.randrange(RECORDED)] = datagram

    def _repeat(self) -> None:
        if self.random and self.recorded:
            for _ in range(int(self.network.repeats * STEP_S + self.random.random())):
                sender, to, data = self.random.choice(self.recorded)
                self.deliver(sender, to, data)

    def step(self, seconds: float = 1) -> None:
        for _ in range(int(seconds / STEP_S)):
            self.now += STEP_S
            self.count += 1
            while self.mail and self.mail[0][0] < self.now:
                _at, _number, sender, to, data = heapq.heappop(self.mail)
                self.deliver(sender, to, data)
            self._repeat()
            for node in self.nodes:
                was = node.state
                node.step(self.count)
                if node.state != was:
                    self.check()
            self.check()

    def deliver(self, sender: int, to: int, data: bytes) -> None:
        node = self.nodes[to]
        if not node.cut and not node.off:
            node.waiting.append((sender, data))

    def check(self) -> None:
        running = {node.runs for node in self.nodes if node.engine.state != STOPPED}
        assert len(running) <= 1, f"engines of epochs {running} run at once"
        if all(node.engine.state != STOPPED for node in self.nodes):
            self.whole_at = self.now
        if self.nodes[0].ready:
            assert self.now - self.whole_at <= READY_AGE_S, "half a group was called ready"

    @property
    def head(self) -> Any:
        return self.nodes[0].core

    @property
    def is_up(self) -> bool:
        return self.nodes[0].ready and all(node.is_up for node in self.nodes)

    def bring_up(self, seconds: float = 60) -> World:
        until = self.now + seconds
        while self.now < until:
            self.step(STEP_S)
            if self.is_up:
                return self
        raise AssertionError(f"not up: {self.head._summary}")


NODE_EVENTS = ("die", "behead", "boot", "supervise", "upgrade", "cut", "heal", "full", "free")


def play(seed: int) -> World:
    """A story of faults, made from the seed; then the faults end, the attacker goes on, and the group must come back."""
    dice = random.Random(seed)
    order = random.Random(f"order {seed}").choice((IN_ORDER, TOGETHER, BLIND))
    ranks = dice.choice((1, 2, 3, 3, 4))
    before = frozenset(r for r in range(ranks) if dice.random() < 0.5) if dice.random() < 0.3 else frozenset()
    world = World(ranks, dice, before, order)
    network = world.network = Network(
        dice.choice((0, 0, 0.05, 0.2, 0.6)), dice.choice((0, 0, 0.5, 1, 3, 7)), dice.choice((0, 0, 1, 10, 40))
    )
    world.slow_start = dice.choice((0, 0, 2, 8, 20, 90))
    for _ in range(dice.randrange(5, 40)):
        world.step(dice.uniform(0, 12))
        happen(world, dice.choice(NODE_EVENTS), dice.choice(world.nodes))
        if dice.random() < 0.1:
            world.mail.clear()
        if dice.random() < 0.1:
            network.delay = dice.choice((0, 1, 7))
    world.network = Network(loss=0.05, delay=0.1, repeats=network.repeats)
    for node in world.nodes:
        node.cut = node.disk_full = False
        if network.repeats:
            node.before = False  # the version before does not hold against that
            node.supervise()
    # nor does it bear a start that takes longer than its silence may
    world.slow_start = min(world.slow_start, 2 if any(node.before for node in world.nodes) else 20)
    world.bring_up(30 + decisions.BACKOFF_MOST_S + 120)
    return world


def happen(world: World, event: str, node: Node) -> None:
    """One of NODE_EVENTS."""
    if event in ("cut", "heal"):
        node.cut = event == "cut"
    elif event in ("full", "free"):
        node.disk_full = event == "full"
    else:
        {
            "die": node.die,
            "behead": node.behead,
            "boot": node.boot,
            "supervise": node.supervise,
            "upgrade": node.upgrade,
        }[event]()


def start(seed: int, ranks: int, loss: float, order: StartOrder = TOGETHER, opens: str = "others") -> float:
    """Seconds from when every node was there until a group is ready whose engines take up to 8 s to start."""
    world = World(ranks, random.Random(seed), order=order, opens=opens)
    world.network = Network(loss, delay=2 * STEP_S)
    world.slow_start = 8
    began = world.now
    world.bring_up(60 + 12 * ranks)
    return world.now - began


def restarts(seed: int, loss: float, hours: float, ranks: int = 32, before: bool = False) -> int:
    """How often a group without a fault was restarted while a share of its datagrams was lost."""
    world = World(ranks, random.Random(seed), frozenset(range(ranks)) if before else frozenset())
    world.bring_up(60 + 4 * ranks)
    world.network = Network(loss, delay=2 * STEP_S)  # words that come at regular moments would be too good
    ended, epoch = 0, world.head.epoch
    for _ in range(int(hours * 3600 / STEP_S)):
        world.step(STEP_S)
        if world.head.epoch not in (0, epoch):
            ended, epoch = ended + 1, world.head.epoch
    return ended


def notice(seed: int, fault: str, loss: float = 0.0, before: bool = False) -> float:
    """Seconds from a fault of a rank (one of NODE_EVENTS) until the head ends the epoch. The seed gives rank and moment."""
    dice = random.Random(f"fault {seed}")
    world = World(3, random.Random(seed), frozenset(range(3)) if before else frozenset())
    until = world.now + 60 + dice.uniform(0, 10)
    world.bring_up(60).network.loss = loss
    world.step(until - world.now)
    node = world.nodes[dice.choice((1, 2))]
    began = world.now
    if fault == "boot":
        node.boot()
        node.off = 60 * TICK
    else:
        happen(world, fault, node)
    while world.head.epoch == 1:
        world.step(STEP_S)
    return world.now - began
