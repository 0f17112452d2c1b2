# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action `rank_wait`: it ends with the supervisor's report, with the failure of any rank, or by its limit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from action_runner import run_action
from ansible import constants as C
from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible_collections.fullrank.serving.plugins.action.rank_wait import ActionModule

ARGUMENTS = {"deployment": "tiny", "hosts": ["n1", "n2"], "timeout": 600}
SUPERVISOR = {"active": "active", "result": "success", "exit_status": 0}


def info(phase: str, *log: str, supervisor: dict[str, Any] | None = None, **group: Any) -> dict[str, Any]:
    """What `rank_info` returns."""
    return {
        "changed": False,
        "group": {"phase": phase, "ready": phase == "ready", "summary": f"rank 0 is {phase}", **group},
        "supervisor": supervisor or SUPERVISOR,
        "log": list(log),
    }


class Node:
    """Answers in turns; the last one for ever."""

    def __init__(self, *answers: dict[str, Any] | Exception) -> None:
        self.answers = list(answers)
        self.calls = 0

    def __call__(self, module: str, arguments: dict[str, Any]) -> dict[str, Any]:
        assert (module, arguments["deployment"]) == ("fullrank.serving.rank_info", "tiny")
        self.calls += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture(autouse=True)
def one_task(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """All calls in a test are the same task of one run, on different hosts."""
    monkeypatch.setattr(C, "DEFAULT_LOCAL_TMP", str(tmp_path))
    monkeypatch.setattr("ansible.playbook.base.get_unique_id", lambda: "one-task")


def test_a_rank_that_is_ready_is_one_look(monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node(info("ready"))
    result, shown = run_action(monkeypatch, ActionModule, ARGUMENTS, node)
    assert (result["changed"], result["waited"], node.calls, shown) == (False, 0.0, 1, [])
    assert "failed" not in result


def test_it_shows_what_the_rank_does_until_it_is_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    shard = "Loading safetensors checkpoint shards:  50% Completed | 2/4 [00:01<00:01,  1.00it/s]"
    node = Node(info("waiting"), info("starting"), info("loading", shard), info("ready", shard))
    result, shown = run_action(monkeypatch, ActionModule, ARGUMENTS, node)
    assert "failed" not in result and result["waited"] > 0
    assert shown[0] == "  tiny rank 0 (n1): 0 s, rank 0 is waiting"
    assert any("2/4" in line for line in shown)


def test_a_rank_whose_supervisor_does_not_run_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    dead = {"active": "failed", "result": "exit-code", "exit_status": 1}
    node = Node(info("starting", supervisor=dead))
    result, _ = run_action(monkeypatch, ActionModule, ARGUMENTS, node)
    assert result["failed"] and node.calls == 1
    assert result["msg"] == "tiny rank 0 (n1): its supervisor is failed (exit-code, exit status 1)"


def test_the_failure_of_another_rank_ends_it_and_is_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node(info("backoff", failure={"rank": 1, "why": "exit status 3", "epoch": 1}))
    result, _ = run_action(monkeypatch, ActionModule, ARGUMENTS | {"label": "tiny replica 1"}, node)
    assert result["failed"]
    assert result["msg"] == (
        "tiny replica 1 rank 0 (n1): stopped waiting, because tiny replica 1 rank 1 (n2): exit status 3"
    )


def test_a_node_that_is_lost_ends_the_waiting_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    lost = Node(info("loading"), AnsibleConnectionFailure("timed out"))
    with pytest.raises(AnsibleConnectionFailure):
        run_action(monkeypatch, ActionModule, ARGUMENTS, lost, inventory_hostname="n2")
    result, _ = run_action(monkeypatch, ActionModule, ARGUMENTS, Node(info("loading")))
    assert result["failed"]
    assert "stopped waiting, because tiny rank 1 (n2): the node was lost: timed out" in result["msg"]


def test_supervisors_that_do_not_meet_are_given_up_long_before_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    result, _ = run_action(monkeypatch, ActionModule, ARGUMENTS | {"timeout": 7200}, Node(info("waiting")))
    assert result["failed"] and "rank 0 is waiting" in result["msg"] and 90 < result["waited"] < 120


def test_the_limit_ends_it_with_what_the_supervisor_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    result, _ = run_action(monkeypatch, ActionModule, ARGUMENTS, Node(info("loading")))
    assert result["failed"] and "not there after 60" in result["msg"] and "rank 0 is loading" in result["msg"]


def test_a_module_that_fails_is_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    result, _ = run_action(monkeypatch, ActionModule, ARGUMENTS, Node({"failed": True, "msg": "no systemd"}))
    assert result["failed"] and result["msg"] == "no systemd"


def test_check_mode_waits_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    result, _ = run_action(monkeypatch, ActionModule, ARGUMENTS, check_mode=True)
    assert result["skipped"] and result["changed"] is False


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"timeout": "long"}, "timeout"), ({"hosts": None}, "missing required arguments: hosts")],
)
def test_wrong_arguments_are_refused(monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], message: str) -> None:
    params = {name: value for name, value in (ARGUMENTS | changes).items() if value is not None}
    with pytest.raises(AnsibleError, match=message):
        run_action(monkeypatch, ActionModule, params)
