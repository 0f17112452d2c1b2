# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action `endpoint_check`: who sends the requests, the controller or the node."""

from __future__ import annotations

from typing import Any

import pytest
from action_runner import run_action
from ansible.errors import AnsibleError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.fullrank.serving.plugins.action.endpoint_check import ActionModule
from ansible_collections.fullrank.serving.plugins.module_utils.endpoint import checks

# nothing listens on the discard port
CLOSED = {"name": "tiny rank 0", "url": "http://127.0.0.1:9", "model": "tiny", "api_key": "sk-planted"}


@pytest.mark.parametrize("check_mode", [False, True])
def test_from_the_controller_without_the_node(monkeypatch: pytest.MonkeyPatch, check_mode: bool) -> None:
    params = {"endpoints": [CLOSED, {**CLOSED, "name": "tiny rank 1", "serves": False}], "ask_from": "controller"}
    result, _ = run_action(monkeypatch, ActionModule, params, check_mode=check_mode)
    assert [(one["code"], one["severity"], one["where"]) for one in result["checks"]] == [
        ("endpoint-answers", "fail", "tiny rank 0"),
        ("endpoint-silent", "pass", "tiny rank 1"),
    ]
    assert result["changed"] is False and "failed" not in result, "who called it shows all findings first"
    assert "sk-planted" not in str(result["checks"])


@pytest.mark.parametrize("more", [{}, {"ask_from": "node"}])
def test_from_the_node_the_module_answers(monkeypatch: pytest.MonkeyPatch, more: dict[str, str]) -> None:
    answer = {"changed": False, "checks": [{"code": "of the node"}]}
    seen: list[Any] = []

    def module(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        seen.append(arguments)
        return answer

    result, _ = run_action(monkeypatch, ActionModule, {"endpoints": [CLOSED], **more}, module)
    assert result["checks"] == [{"code": "of the node"}]
    accepted = ArgumentSpecValidator(checks.OPTIONS).validate(seen[0])
    assert not accepted.error_messages, "the module takes what the action gives it"


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({}, "missing required arguments: endpoints"),
        ({"endpoints": [{"name": "a"}]}, "missing required arguments: url"),
        ({"endpoints": [CLOSED], "ask_from": "here"}, "value of ask_from must be one of"),
    ],
)
def test_wrong_arguments_are_refused(monkeypatch: pytest.MonkeyPatch, params: dict[str, Any], message: str) -> None:
    with pytest.raises(AnsibleError, match=message):
        run_action(monkeypatch, ActionModule, params)
