# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The operator's stop: in reverse order, once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from testinfra.host import Host

SUPERVISOR = "fullrank-supervisor@tiny.service"


def test_stop_ends_the_last_rank_first_and_only_once(nodes: dict[str, Host], play: Callable[..., Any]) -> None:
    first = play("playbooks/stop.yml")
    assert (first.rc, first.changed) == (0, 2)
    # the last journal line of each supervisor; it forgets the times of a stopped unit that is not enabled. The engines' order
    # proves nothing: the head of a real one ends by itself as soon as another rank begins to
    head, other = (
        float(host.check_output(f"journalctl --unit={SUPERVISOR} --lines=1 --output=short-unix --no-pager").split()[0])
        for host in (nodes["n1"], nodes["n2"])
    )
    assert other < head
    again = play("playbooks/stop.yml")
    assert (again.rc, again.changed) == (0, 0)


def test_status_of_a_stopped_deployment(play: Callable[..., Any]) -> None:
    status = play("playbooks/status.yml")
    assert status.rc == 0  # somebody wanted it so
    assert {(r["host"], r["health"]) for r in status.outcome["status"]} == {("n1", "stopped"), ("n2", "stopped")}


def test_what_was_stopped_stays_stopped_over_a_boot(nodes: dict[str, Host]) -> None:
    for host in nodes.values():
        assert host.run("systemctl is-enabled fullrank-supervisor@tiny").stdout.strip() == "disabled"
        assert host.run("systemctl is-enabled fullrank-rank@tiny").stdout.strip() == "static"
        assert host.run("fullrank-check tiny").rc == 2
