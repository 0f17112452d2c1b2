# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action of `model_distribute`: which node takes from which, findings before anything changes, and the wait for a copy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from action_runner import run_action
from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible_collections.fullrank.serving.plugins.action import model_distribute
from ansible_collections.fullrank.serving.plugins.action.model_distribute import ActionModule

MANIFEST = {"files": [{"path": "a", "size": 10**9, "sha256": "0" * 64}]}
PROGRESS: dict[str, Any] = {
    **{"phase": "receiving", "error": "", "bytes": 5 * 10**8, "total": 10**9, "files_done": 0, "files": 1},
    **{"received": 5 * 10**8, "source": "n1", "at": 1.0},
}


def copy(number: int, ready: bool) -> dict[str, Any]:
    return {
        **{"ready": ready, "why_not": "" if ready else "no manifest", "manifest_sha256": "one" if ready else ""},
        **{"manifest": MANIFEST if ready else None, "sizes": {}, "partial_bytes": 0, "free_bytes": 10**11},
        **{"address": f"192.0.2.{number}", "port": 7000 + number, "link_gbps": 25.0},
    }


COPIES = {"n1": copy(1, True), "n2": copy(2, False), "n3": copy(3, False)}
START = {"state": "started", "path": "/srv/m", "deployment": "tiny", "source": "n1", "copies": COPIES}


class Node:
    """Answers in turns; the last one for ever."""

    def __init__(self, *answers: dict[str, Any] | Exception) -> None:
        self.answers = list(answers) or [{"changed": False, "active": True}]
        self.calls: list[dict[str, Any]] = []

    def __call__(self, module: str, arguments: dict[str, Any]) -> dict[str, Any]:
        assert module == "fullrank.serving.model_distribute"
        self.calls.append(arguments)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return dict(answer)


@pytest.fixture(autouse=True)
def run_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_distribute.C, "DEFAULT_LOCAL_TMP", str(tmp_path))


def test_each_node_gets_its_part_and_all_get_one_token(monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node()
    for host in COPIES:
        run_action(monkeypatch, ActionModule, START, node, inventory_hostname=host)
    assert [[one["name"] for one in call["part"]["upstreams"]] for call in node.calls] == [[], ["n1"], ["n2", "n1"]]
    assert len({call["token"] for call in node.calls}) == 1 and len(node.calls[0]["token"]) > 40
    part = node.calls[2]["part"]
    assert (part["address"], part["port"], part["rsh"]) == ("192.0.2.3", 7003, "")


def test_rsync_has_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node()
    run_action(monkeypatch, ActionModule, START | {"method": "rsync", "rsh": "ssh -p 23"}, node)
    assert node.calls[0]["part"]["rsh"] == "ssh -p 23"


def test_a_node_that_is_not_needed_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    copies = {f"n{number}": copy(number, number < 5) for number in range(1, 6)}
    result, _ = run_action(monkeypatch, ActionModule, START | {"copies": copies}, Node(), inventory_hostname="n4")
    assert result["skipped"]


def test_findings_fail_before_anything_is_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    node, full = Node(), COPIES | {"n3": copy(3, False) | {"free_bytes": 0}}
    first, _ = run_action(monkeypatch, ActionModule, START | {"copies": full}, node)
    other, _ = run_action(monkeypatch, ActionModule, START | {"copies": full}, node, inventory_hostname="n3")
    assert first["failed"] and "/srv/m: nothing was sent or changed" in first["msg"] and "/srv/m on n3" in first["msg"]
    assert [one["code"] for one in first["findings"]] == ["disk-full"]
    assert (other["failed"], other["msg"], node.calls) == (True, "see n1", [])


@pytest.mark.parametrize(
    ("host", "more", "changed"),
    [
        ("n1", {}, False),
        ("n2", {}, True),
        ("n2", {"source_pending": True, "copies": {}}, True),
        ("n1", {"source_pending": True, "copies": {}}, False),
    ],
)
def test_check_mode_predicts_whose_copy_changes(
    monkeypatch: pytest.MonkeyPatch, host: str, more: dict[str, Any], changed: bool
) -> None:
    node = Node()
    result, _ = run_action(monkeypatch, ActionModule, START | more, node, check_mode=True, inventory_hostname=host)
    assert (result["changed"], node.calls) == (changed, [])


def present(*answers: Any, **arguments: Any) -> tuple[dict[str, Any], Node]:
    return {"state": "present", "path": "/srv/m", **arguments}, Node(*answers)


def answer(active: bool = True, **progress: Any) -> dict[str, Any]:
    return {"changed": False, "active": active, "progress": PROGRESS | progress}


def test_it_waits_until_the_copy_is_complete_and_survives_a_broken_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    lost = AnsibleConnectionFailure("timed out")
    arguments, node = present(lost, answer(), lost, answer(at=2.0, bytes=7 * 10**8), answer(phase="complete"))
    result, shown = run_action(monkeypatch, ActionModule, arguments, node)
    assert result["changed"] and "failed" not in result
    assert "  n1: /srv/m: receiving 500 MB of 1 GB (50.0 %), 0 of 1 files, from n1" in shown


@pytest.mark.parametrize(
    ("last", "message"),
    [
        (answer(phase="failed", error="the disk is full"), "n1: the disk is full"),
        (answer(active=False), "n1: its part of the transfer ended early at: receiving 500 MB"),
        ({"changed": False, "active": False}, "n1 takes no part in a transfer"),
        ({"failed": True, "msg": "no systemd"}, "no systemd"),
    ],
)
def test_why_a_copy_will_not_come(monkeypatch: pytest.MonkeyPatch, last: dict[str, Any], message: str) -> None:
    arguments, node = present(last)
    result, _ = run_action(monkeypatch, ActionModule, arguments, node)
    assert result["failed"] and result["msg"].startswith(message)


def test_a_copy_that_was_there_already_is_no_change(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments, node = present(answer(phase="complete", received=0))
    assert run_action(monkeypatch, ActionModule, arguments, node)[0]["changed"] is False


def test_the_watch_has_a_limit_and_so_has_a_node_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments, node = present(answer(), timeout=100)
    assert "not complete after 16" in run_action(monkeypatch, ActionModule, arguments, node)[0]["msg"]
    arguments, node = present(AnsibleConnectionFailure("timed out"), stall_timeout=30)
    with pytest.raises(AnsibleConnectionFailure):
        run_action(monkeypatch, ActionModule, arguments, node)


@pytest.mark.parametrize("arguments", [{"state": "awaited"}, {"state": "started", "part": {}}, {}])
def test_options_that_it_does_not_know_are_refused(monkeypatch: pytest.MonkeyPatch, arguments: dict[str, Any]) -> None:
    with pytest.raises(AnsibleError):
        run_action(monkeypatch, ActionModule, {"path": "/srv/m", **arguments}, Node())
