# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action `run_lock`: it knows which run it is, and whether the one that holds the lock has ended."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

import pytest
from action_runner import run_action
from ansible_collections.fullrank.serving.plugins.action.run_lock import ActionModule
from ansible_collections.fullrank.serving.plugins.plugin_utils.actions import run_identity

ARGUMENTS = {"deployment": "chat", "seconds": 60}


class Node:
    """A head whose lock a run holds; it gives way to one that names it as dead."""

    def __init__(self, holder: str) -> None:
        self.holder, self.calls = holder, list[dict[str, Any]]()

    def __call__(self, module: str, arguments: dict[str, Any]) -> dict[str, Any]:
        assert module == "fullrank.serving.run_lock"
        self.calls.append(arguments)
        free = not self.holder or arguments.get("over") == self.holder
        holder = {"id": self.holder, "by": "root@ops1 (Upgrade, pid 7)", "since": 0, "until": 60}
        return {"changed": False, "holder": {} if free else holder, "why": ""}


def test_a_free_lock_is_taken_in_the_name_of_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node("")
    result, _shown = run_action(monkeypatch, ActionModule, dict(ARGUMENTS), node, ansible_play_name="Stop")
    assert (result["why"], len(node.calls)) == ("", 1)
    assert node.calls[0]["run"] == run_identity.identity(os.getppid()) and "(Stop, pid " in node.calls[0]["by"]


def test_a_run_that_lives_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node(json.dumps(["another boot", "pid:[1]", 7, "1"]))
    result, _shown = run_action(monkeypatch, ActionModule, dict(ARGUMENTS), node, inventory_hostname="gpu1")
    assert "another run is at work on chat since" in result["why"] and "by root@ops1" in result["why"]
    assert "on gpu1" in result["why"] and "failed" not in result


def test_a_run_of_this_controller_that_has_ended_keeps_nothing_away(monkeypatch: pytest.MonkeyPatch) -> None:
    child = subprocess.Popen(["sleep", "60"])
    node = Node(run_identity.identity(child.pid))
    child.kill()
    child.wait()
    result, _shown = run_action(monkeypatch, ActionModule, dict(ARGUMENTS), node)
    assert (result["why"], [one.get("over") for one in node.calls]) == ("", [None, node.holder])
