# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action `node_contact`: a node that cannot be reached is an answer, not a failure."""

from __future__ import annotations

from typing import Any

import pytest
from action_runner import run_action
from ansible.errors import AnsibleConnectionFailure
from ansible_collections.fullrank.serving.plugins.action.node_contact import OFFLINE, ActionModule


def ping(_name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    return {"failed": True, "msg": "Unsupported parameters"} if arguments else {"ping": "pong"}


def test_a_node_that_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    result, _ = run_action(monkeypatch, ActionModule, {"attempt": True}, ping)
    assert (result["answers"], result["msg"], result["changed"]) == (True, "", False)


def test_a_node_that_cannot_be_reached_fails_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(_name: str, _arguments: dict[str, Any]) -> dict[str, Any]:
        raise AnsibleConnectionFailure("Failed to connect to the host via ssh:\n Connection refused")

    result, _ = run_action(monkeypatch, ActionModule, {}, lost)
    assert not result["answers"] and "failed" not in result and "unreachable" not in result
    assert result["msg"] == "Failed to connect to the host via ssh: Connection refused"


def test_a_node_without_python(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = {"failed": True, "module_stderr": "python3: not found"}
    result, _ = run_action(monkeypatch, ActionModule, {}, lambda _name, _arguments: answer)
    assert (result["answers"], result["msg"]) == (False, "python3: not found")
    assert "failed" not in result


def test_offline_nothing_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    result, _ = run_action(monkeypatch, ActionModule, {"attempt": False})
    assert (result["answers"], result["msg"]) == (False, OFFLINE)
