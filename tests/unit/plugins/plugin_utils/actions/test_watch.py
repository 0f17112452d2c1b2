# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Watching work on a node: connections that break, the time limit, and how often the node is called."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleConnectionFailure
from ansible_collections.fullrank.serving.plugins.plugin_utils.actions.watch import LATEST_S, SOONEST_S, Watch

LOST = AnsibleConnectionFailure("timed out")


class Node:
    """Answers what it is given, in turns; the last one for ever. Its clock goes on while the watch sleeps."""

    def __init__(self, *answers: dict[str, Any] | Exception) -> None:
        self.answers = list(answers)
        self.now, self.calls = 0.0, 0
        self.slept: list[float] = []
        self.shown: list[str] = []

    def watch(self, **options: Any) -> Watch:
        options = {"limit_s": 1000.0, "lost_s": 60.0, **options}
        return Watch(self.shown.append, "n1", clock=lambda: self.now, sleep=self.sleep, **options)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def look(self) -> dict[str, Any]:
        self.calls += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_every_answer_is_handed_on_until_the_caller_leaves() -> None:
    node = Node({"n": 1}, {"n": 2}, {"n": 3})
    seen = []
    for answer in node.watch().answers(node.look):
        seen.append(answer["n"])
        if answer["n"] == 3:
            break
    assert (seen, node.calls) == ([1, 2, 3], 3)


def test_a_connection_that_breaks_for_a_while_ends_nothing() -> None:
    node = Node({"n": 1}, LOST, LOST, {"n": 2})
    seen = []
    for answer in node.watch().answers(node.look):
        seen.append(answer["n"])
        if answer["n"] == 2:
            break
    assert seen == [1, 2]
    assert node.shown == ["  n1: no connection, trying again: timed out"]


def test_a_connection_that_stays_away_is_raised() -> None:
    node = Node({"n": 1}, LOST)
    with pytest.raises(AnsibleConnectionFailure, match="timed out"):
        list(node.watch(lost_s=30).answers(node.look))
    assert 30 <= node.now < 30 + 2 * LATEST_S


def test_each_loss_has_the_whole_time() -> None:
    losses: list[Any] = [LOST] * 20
    node = Node({"n": 1}, *losses, {"n": 2}, *losses, {"n": 3})
    answers = node.watch(lost_s=100).answers(node.look)
    assert [next(answers)["n"] for _ in range(3)] == [1, 2, 3]


def test_a_node_that_was_never_reached_is_not_waited_for() -> None:
    node = Node(LOST)
    with pytest.raises(AnsibleConnectionFailure):
        list(node.watch().answers(node.look))
    assert node.slept == []
    later = Node(LOST, {"n": 1})
    assert next(later.watch(reached=True).answers(later.look)) == {"n": 1}


def test_it_ends_after_the_limit() -> None:
    node = Node({"n": 1})
    watch = node.watch(limit_s=50)
    assert len(list(watch.answers(node.look))) == node.calls
    assert 50 <= watch.waited < 50 + LATEST_S


def test_long_work_is_looked_at_less_often() -> None:
    node = Node({"n": 1})
    list(node.watch(limit_s=600).answers(node.look))
    assert (node.slept[0], node.slept[-1]) == (SOONEST_S, LATEST_S)
    assert node.slept == sorted(node.slept)


def test_a_line_is_shown_with_the_host_and_what_goes_before_is_no_change() -> None:
    node = Node({})
    watch = node.watch(every_s=5)
    for second in range(20):
        node.now = float(second)
        watch.report("load", "shard 1", before=f"{second} s, ")
    assert node.shown == ["  n1: 0 s, shard 1"]
