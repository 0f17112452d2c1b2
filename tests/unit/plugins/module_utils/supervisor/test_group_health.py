# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several ranks of a group serve: it is ready when all of them answer, and the one that is worst off is named."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.supervisor import agent, decisions, group_health
from ansible_collections.fullrank.serving.plugins.module_utils.supervisor.decisions import (
    RUNNING,
    STOPPED,
    Engine,
    Follower,
    Head,
    Health,
    Limits,
    Report,
    StartOrder,
)

NAMES = ["n0", "n1", "n2"]
ANSWERS = Health(answers=True)
HANGS = Health(answers=True, stalled=True, hung=True, summary="no answer for 121 s")


def reported(*others: Health) -> dict[int, dict[str, Any]]:
    return {rank: group_health.words(health) for rank, health in enumerate(others, 1)}


@pytest.mark.parametrize(
    ("own", "others", "expected"),
    [
        (ANSWERS, (), ANSWERS),
        (ANSWERS, (ANSWERS, ANSWERS), ANSWERS),
        (Health(summary="mine"), (ANSWERS, Health(summary="its")), Health(summary="mine")),
        (ANSWERS, (ANSWERS, Health(summary="HTTP 503")), Health(summary="rank 2 (n2): HTTP 503", rank=2)),
        (
            Health(summary="refused"),
            (HANGS, ANSWERS),
            Health(True, True, True, "rank 1 (n1): no answer for 121 s", 1),
        ),
    ],
)
def test_the_one_that_is_worst_off_counts(own: Health, others: tuple[Health, ...], expected: Health) -> None:
    assert group_health.of_group(own, reported(*others), NAMES) == expected


def test_what_is_reported_fits_a_datagram() -> None:
    assert len(group_health.words(Health(summary="x" * 5000))["summary"]) == group_health.LONGEST


class Pair:
    """A head and a rank that serves too, by their decisions; the messages between them arrive."""

    def __init__(self) -> None:
        self.head = Head(["n0", "n1"], "s", Limits(10, 60), 0.0, StartOrder(together=True, port=0))
        self.other = Follower(1, "s", 0.0)
        self.engines = [Engine(STOPPED), Engine(STOPPED)]
        self.now = 0.0

    def look(self, own: Health, its: Health) -> dict[str, Any]:
        """One look of both; what people are shown. Engines do at once what was decided."""
        self.now += 1
        reported = group_health.words(its) if self.engines[1].state == RUNNING else group_health.words(Health())
        words = self.other.tick(self.now, self.engines[1], reported)
        self._act(1, words)
        self.head.hear(1, Report(words.body, self.now, self.now))
        health = group_health.of_group(
            own if self.head.complete else Health(), self.head.health_of_others, ["n0", "n1"]
        )
        decision = self.head.tick(self.now, self.engines[0], health)
        self._act(0, decision)
        self.other.hear(decision.words_for(1), self.now)
        return dict(decision.view)

    def _act(self, rank: int, decision: decisions.Decision) -> None:
        if decision.act == "start":
            self.engines[rank] = Engine(RUNNING, decision.epoch, decision.epoch)
        elif decision.act == "kill":
            self.engines[rank] = Engine(STOPPED, 0, self.engines[rank].tried)


def test_the_group_is_ready_when_each_server_answers() -> None:
    pair = Pair()
    for _unused in range(6):
        view = pair.look(ANSWERS, Health(summary="HTTP 503"))
    assert (view["phase"], view["ready"]) == ("loading", False)
    assert view["summary"] == "waiting for an answer: rank 1 (n1): HTTP 503"
    assert pair.look(ANSWERS, ANSWERS)["ready"]


def test_a_server_that_hangs_ends_the_epoch_and_is_named() -> None:
    pair = Pair()
    for _unused in range(6):
        pair.look(ANSWERS, ANSWERS)
    assert pair.head.epoch == 1
    view = pair.look(ANSWERS, HANGS)
    assert (view["failure"]["rank"], view["failure"]["why"]) == (1, "rank 1 (n1): no answer for 121 s")
    for _unused in range(9):
        view = pair.look(ANSWERS, ANSWERS)
    assert (view["ready"], view["epoch"]) == (True, 2)


def test_a_server_that_never_answers_is_given_up() -> None:
    pair = Pair()
    for _unused in range(80):
        view = pair.look(ANSWERS, Health(summary="HTTP 503"))
    assert view["failure"]["why"] == "not ready after 60 s; the endpoint answers: rank 1 (n1): HTTP 503"
    assert view["failure"]["rank"] == 1


def test_a_rank_of_the_version_before_tells_nothing_and_holds_nothing_up() -> None:
    pair = Pair()
    pair.other.tick = lambda now, engine, _health: Follower.tick(pair.other, now, engine)  # type: ignore[method-assign]
    for _unused in range(6):
        view = pair.look(ANSWERS, Health(summary="HTTP 503"))
    assert view["ready"]


def test_a_supervisor_asks_its_own_endpoint_while_its_engine_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []

    def probe(config: dict[str, Any], key: str | None, **_unused: Any) -> SimpleNamespace:
        made.append(SimpleNamespace(config=config, key=key, ended=False, health=lambda _now: ANSWERS))
        made[-1].end = lambda one=made[-1]: setattr(one, "ended", True)
        return made[-1]

    monkeypatch.setattr(agent, "EndpointProbe", probe)
    mine = agent.Agent.__new__(agent.Agent)
    mine.config, mine.secret = {"url": "http://n1", "hang_timeout": 120}, {"api_key": "k"}
    mine.engine, mine.probe, mine.probe_epoch, mine.now = SimpleNamespace(log=None), None, 0, 1.0
    assert mine._health(0) == Health() and made == []
    assert mine._health(3) == mine._health(3) == ANSWERS and len(made) == 1
    assert (made[0].config["url"], made[0].key) == ("http://n1", "k")
    assert mine._health(4) == ANSWERS and made[0].ended and len(made) == 2
    assert mine._health(0) == Health() and made[1].ended
