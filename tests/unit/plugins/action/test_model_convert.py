# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action of `model_convert`: it watches until the end, and keeps what only the first call knows."""

from __future__ import annotations

from typing import Any

import pytest
from action_runner import run_action
from ansible.errors import AnsibleConnectionFailure
from ansible_collections.fullrank.serving.plugins.action.model_convert import ActionModule

ARGUMENTS = {"source": "/srv/fp8", "path": "/srv/bf16", "python": "/opt/v/bin/python"}
PROGRESS = {"phase": "converting", "bytes": 5 * 10**9, "total": 10**10, "files_done": 1, "files": 2, "at": 1.0}
STARTED = {"changed": True, "running": True, "converted": ["a", "b"], "bytes": 10**10, "progress": {}}
RUNNING = {"changed": True, "running": True, "progress": PROGRESS}
DONE = {"changed": True, "needed": True, "converted": [], "bytes": 0, "digest": "abc"}


class Node:
    """Answers in turns; the last one for ever."""

    def __init__(self, *answers: dict[str, Any] | Exception) -> None:
        self.answers = list(answers)
        self.starts: list[bool] = []

    def __call__(self, module: str, arguments: dict[str, Any]) -> dict[str, Any]:
        assert module == "fullrank.serving.model_convert"
        self.starts.append(arguments.get("start", True))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return dict(answer)


def test_it_is_started_once_and_the_result_names_what_it_converted(monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node(STARTED, RUNNING, AnsibleConnectionFailure("timed out"), RUNNING, DONE)
    result, shown = run_action(monkeypatch, ActionModule, ARGUMENTS, node)
    assert (result["changed"], result["converted"], result["bytes"], result["digest"]) == (
        *(True, ["a", "b"], 10**10, "abc"),
    )
    assert node.starts == [True, False, False, False, False]
    assert shown[:2] == [
        "  n1: /srv/bf16: starting",
        "  n1: /srv/bf16: converting 5 GB of 10 GB (50.0 %), 1 of 2 files",
    ]


def test_a_model_that_is_there_is_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node(DONE | {"changed": False})
    result, shown = run_action(monkeypatch, ActionModule, ARGUMENTS, node)
    assert (result["changed"], result["seconds"], shown, node.starts) == (False, 0, [], [True])


def test_a_failure_is_the_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    result, _ = run_action(monkeypatch, ActionModule, ARGUMENTS, Node(STARTED, {"failed": True, "msg": "no memory"}))
    assert result["failed"] and result["msg"] == "no memory"


def test_the_watch_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    result, _ = run_action(monkeypatch, ActionModule, ARGUMENTS | {"timeout": 10}, Node(STARTED, RUNNING))
    assert result["failed"] and "/srv/bf16: not complete after 7" in result["msg"]


def test_check_mode_is_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node(DONE)
    result, _ = run_action(monkeypatch, ActionModule, ARGUMENTS, node, check_mode=True)
    assert result["changed"] and "seconds" not in result and len(node.starts) == 1
