# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action of `model_fetch`: it watches until the end, survives a broken connection, and sends what the controller has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from action_runner import run_action
from ansible.errors import AnsibleConnectionFailure
from ansible_collections.fullrank.serving.plugins.action.model_fetch import ActionModule

ARGUMENTS = {"path": "/srv/m", "hub": "modelscope", "repo": "o/m", "revision": "1" * 40}
RUNNING = {"state": "running", "error": "", "phase": "fetching", "total": 100_000_000, "files": 2, "files_done": 0}


def fetch(state: str, error: str = "", **more: Any) -> dict[str, Any]:
    return {"changed": False, "fetch": {"state": state, "error": error, **more}}


class Node:
    """Answers in turns; the last one for ever."""

    def __init__(self, *answers: dict[str, Any] | Exception) -> None:
        self.answers = list(answers)
        self.calls: list[dict[str, Any]] = []

    def __call__(self, module: str, arguments: dict[str, Any]) -> dict[str, Any]:
        assert module == "fullrank.serving.model_fetch"
        self.calls.append(arguments)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return dict(answer)


def test_a_copy_that_is_there_is_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node(fetch("ready") | {"manifest_sha256": "abc"})
    result, shown = run_action(monkeypatch, ActionModule, ARGUMENTS, node)
    assert (result["changed"], result["manifest_sha256"], shown) == (False, "abc", [])
    assert [call["start"] for call in node.calls] == [True]


def test_it_is_started_once_and_watched_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    running = [{"changed": not at, "fetch": RUNNING | {"bytes": 10**6 * at, "at": float(at)}} for at in range(30)]
    node = Node(*running, fetch("ready"))
    result, shown = run_action(monkeypatch, ActionModule, ARGUMENTS, node)
    assert result["changed"] and "failed" not in result
    assert [call["start"] for call in node.calls] == [True] + [False] * 30
    assert shown[0] == "  n1: o/m: fetching 0 B of 100 MB (0.0 %), 0 of 2 files"
    assert shown[1] == "  n1: o/m: fetching 10 MB of 100 MB (10.0 %), 1 MB/s, 2 min left, 0 of 2 files"


def test_a_broken_connection_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    lost = AnsibleConnectionFailure("timed out")
    node = Node({"changed": True, "fetch": RUNNING}, lost, lost, {"changed": False, "fetch": RUNNING}, fetch("ready"))
    result, shown = run_action(monkeypatch, ActionModule, ARGUMENTS, node)
    assert result["changed"] and "failed" not in result
    assert any("no connection, trying again" in line for line in shown)
    assert [call["start"] for call in node.calls[1:]] == [False] * 4


def test_a_node_that_is_gone_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node({"changed": True, "fetch": RUNNING}, AnsibleConnectionFailure("timed out"))
    with pytest.raises(AnsibleConnectionFailure):
        run_action(monkeypatch, ActionModule, ARGUMENTS, node)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (fetch("failed", "the hub refuses (403)"), "o/m: the hub refuses (403)"),
        (fetch("needed"), "o/m: nothing was fetched"),
        ({"failed": True, "msg": "there is no /opt/python"}, "there is no /opt/python"),
    ],
)
def test_the_reason_of_a_failure(monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any], message: str) -> None:
    result, _ = run_action(monkeypatch, ActionModule, ARGUMENTS, Node(answer))
    assert result["failed"] and result["msg"] == message


def test_the_watch_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node({"changed": True, "fetch": RUNNING})
    result, _ = run_action(monkeypatch, ActionModule, ARGUMENTS | {"timeout": 100}, node)
    assert result["failed"] and "o/m: not complete after 16" in result["msg"]


def test_check_mode_is_one_call_that_predicts(monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node(fetch("needed") | {"changed": True})
    result, shown = run_action(monkeypatch, ActionModule, ARGUMENTS, node, check_mode=True)
    assert result["changed"] and "failed" not in result and shown == []
    assert len(node.calls) == 1


def test_the_controllers_files_are_listed_with_their_sums_and_need_room(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "a.json").write_bytes(b"{}")
    (tmp_path / "b.bin").write_bytes(b"b")
    node = Node(fetch("needed", lacking_space="the file system of /srv is full"))
    arguments = ARGUMENTS | {"hub": "controller", "repo": str(tmp_path), "exclude": ["*.bin"]}
    result, _ = run_action(monkeypatch, ActionModule, arguments, node)
    assert result["failed"] and result["msg"] == f"{tmp_path}: the file system of /srv is full"
    [call] = node.calls
    assert not call["start"]
    assert call["files"] == [
        {"path": "a.json", "size": 2, "sha256": "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"}
    ]
