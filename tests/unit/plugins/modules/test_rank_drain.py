# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module `rank_drain`: it marks the replica, and waits until its engine has no request."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.supervisor import decisions
from ansible_collections.fullrank.serving.plugins.module_utils.systemd import names
from ansible_collections.fullrank.serving.plugins.modules import rank_drain
from module_runner import call


class Node:
    """A supervisor and an engine, and their time. reports: the supervisor's, in turns, the last for ever. requests: likewise
    (running, waiting); None: the engine's metrics cannot be read."""

    def __init__(self, folder: Path) -> None:
        self.now = 0.0
        self.mark = folder / "tiny.drain"
        self.reports: list[dict[str, Any] | None] = [{"ready": True, "engine": decisions.RUNNING}]
        self.requests: list[tuple[float | None, float | None] | None] = [(0, 0)]
        self.keys: set[str] = set()

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def status(self, deployment: str) -> dict[str, Any] | None:
        assert deployment == "tiny"
        return self.reports.pop(0) if len(self.reports) > 1 else self.reports[0]

    def ask(self, url: str, key: str, _timeout: float) -> dict[str, Any]:
        assert url == "http://127.0.0.1:8000" and self.mark.exists(), "it is marked before the engine's requests count"
        self.keys.add(key)
        found = self.requests.pop(0) if len(self.requests) > 1 else self.requests[0]
        return {"error": "refused"} if found is None else {"running": found[0], "waiting": found[1], "error": ""}


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Node:
    node = Node(tmp_path)
    monkeypatch.setattr(names, "CONFIG", str(tmp_path))
    monkeypatch.setattr(names, "drain_mark", lambda _name: str(node.mark))
    monkeypatch.setattr(rank_drain, "time", node)
    monkeypatch.setattr(rank_drain.check, "status", node.status)
    monkeypatch.setattr(rank_drain.metrics, "ask", node.ask)
    Path(names.supervisor_config("tiny")).write_text(json.dumps({"url": "http://127.0.0.1:8000"}))
    Path(names.supervisor_secret("tiny")).write_text(json.dumps({"api_key": "sk-planted"}))
    return node


def test_it_returns_when_the_engine_has_answered_all(node: Node) -> None:
    node.requests = [(2, 1), (1, 0), (0, 0)]
    result = call(rank_drain, deployment="tiny")
    assert (result["changed"], result["requests"], result["waited"]) == (True, 0, rank_drain.NOTICED_S + 2)
    assert node.mark.exists() and node.keys == {"sk-planted"} and "sk-planted" not in str(result)


@pytest.mark.parametrize(("requests", "left"), [((3, 2), 5), ((3, None), 3), (None, None), ((None, None), None)])
def test_it_gives_up_after_the_timeout_and_reports_what_is_left(node: Node, requests: Any, left: float | None) -> None:
    node.requests = [requests]
    result = call(rank_drain, deployment="tiny", timeout=10)
    assert (result["changed"], result["requests"]) == (True, left) and 10 <= result["waited"] < 12


@pytest.mark.parametrize("report", [None, {"ready": False, "engine": "absent"}])
def test_a_replica_that_is_not_ready_has_nothing_to_drain(node: Node, report: dict[str, Any] | None) -> None:
    node.reports = [report]
    assert call(rank_drain, deployment="tiny")["changed"] is False
    assert not node.mark.exists() and node.now == 0


def test_a_supervisor_that_has_just_found_its_engine_is_waited_for(node: Node) -> None:
    finding = {"ready": False, "engine": decisions.RUNNING}
    node.reports = [finding, finding, {"ready": True, "engine": decisions.RUNNING}]
    assert call(rank_drain, deployment="tiny")["changed"] is True
    node.reports, node.now = [finding], 0
    assert call(rank_drain, deployment="tiny")["changed"] is False
    assert rank_drain.READ_AGAIN_S < node.now < rank_drain.READ_AGAIN_S + 2


def test_check_mode_marks_nothing(node: Node) -> None:
    assert call(rank_drain, deployment="tiny", check_mode=True)["changed"] is True
    assert not node.mark.exists() and node.now == 0


@pytest.mark.parametrize(
    ("params", "message"),
    [({}, "missing required arguments: deployment"), ({"deployment": "tiny", "timeout": "soon"}, "timeout")],
)
def test_wrong_arguments_are_refused(params: dict[str, str], message: str) -> None:
    result = call(rank_drain, **params)
    assert result["failed"] and message in result["msg"]
