"""The operator's stop: in reverse order, once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from testinfra.host import Host

UNIT = "fullrank-tiny.service"


def test_stop_ends_the_last_rank_first_and_only_once(nodes: dict[str, Host], play: Callable[..., Any]) -> None:
    first = play("playbooks/stop.yml")
    assert (first.rc, first.changed) == (0, 2)
    head, other = (
        int(host.check_output(f"systemctl show --value --property=InactiveEnterTimestampMonotonic {UNIT}"))
        for host in (nodes["n1"], nodes["n2"])
    )
    assert other < head
    again = play("playbooks/stop.yml")
    assert (again.rc, again.changed) == (0, 0)


def test_status_of_a_stopped_deployment(play: Callable[..., Any]) -> None:
    rows = play("playbooks/status.yml").outcome["status"]
    assert {(r["host"], r["health"]) for r in rows} == {("n1", "down"), ("n2", "down")}
