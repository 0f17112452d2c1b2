# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was written to a node can be taken away again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from testinfra.host import Host

UNIT = "/etc/systemd/system/fullrank-rank@tiny.service"
OURS = (
    UNIT,
    "/etc/systemd/system/fullrank-supervisor@tiny.service",
    "/usr/local/lib/fullrank/supervisor",
    "/usr/local/bin/fullrank-check",
)


def test_remove_predicts_removes_and_then_finds_nothing(nodes: dict[str, Host], play: Callable[..., Any]) -> None:
    predicted = play("playbooks/remove.yml", "--check", "--diff")
    assert (predicted.rc, predicted.changed) == (0, 2)
    assert "-ExecStart=" in predicted.text
    assert all(host.file(UNIT).exists for host in nodes.values())

    done = play("playbooks/remove.yml")
    assert (done.rc, done.changed) == (0, 2)
    for host in nodes.values():
        assert not [path for path in OURS if host.file(path).exists]
        assert not host.file("/etc/fullrank").exists, "the folder is empty, and goes"
        assert host.run("systemctl is-enabled fullrank-rank@tiny").rc != 0

    again = play("playbooks/remove.yml")
    assert (again.rc, again.changed) == (0, 0)


def test_status_of_a_deployment_that_is_not_there(play: Callable[..., Any]) -> None:
    rows = play("playbooks/status.yml").outcome["status"]
    assert {(r["host"], r["unit"], r["health"]) for r in rows} == {
        ("n1", "not installed", "not installed"),
        ("n2", "not installed", "not installed"),
    }
