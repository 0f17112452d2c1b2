# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action `comm_verdict`: a verdict is returned, good or bad, and fails no task."""

from __future__ import annotations

from typing import Any

import pytest
from action_runner import run_action
from ansible.errors import AnsibleError
from ansible_collections.fullrank.serving.plugins.action.comm_verdict import ActionModule

GBIT = 10**9 // 8


def runs(gbps: float) -> list[dict[str, Any]]:
    """What `comm_check` returns on two nodes that reach ``gbps`` Gbit/s."""
    records = [
        {"kind": "all_reduce", "bytes": GBIT, "seconds": 1 / gbps},
        {"kind": "pair", "nodes": [0, 1], "process": 0, "bytes": GBIT, "seconds": 1 / gbps, "latency": 2e-4},
    ]
    return [
        {
            "exit_status": 0,
            "timed_out": False,
            "seconds": 20.0,
            "link_gbps": 10.0,
            "log": [],
            "networks": {"used": {}, "gdr": 0, "why": []},
            "records": [{"kind": "start", "rank": node, "node": node, "processes": 1}, *(() if node else records)],
        }
        for node in range(2)
    ]


def judge(monkeypatch: pytest.MonkeyPatch, gbps: float, **limits: Any) -> dict[str, Any]:
    params = {"deployment": "r1", "hosts": ["n1", "n2"], "runs": runs(gbps), "backend": "gloo", **limits}
    return run_action(monkeypatch, ActionModule, params)[0]


def test_ranks_that_communicate_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = judge(monkeypatch, 8.0)
    assert (answer["passed"], answer["report"], answer["changed"]) == (True, "", False)
    assert answer["result"]["pairs"] == [{"nodes": ["n1", "n2"], "gbps": 8.0, "latency_us": 200.0}]
    assert any("n1" in line and "n2" in line for line in answer["table"])


@pytest.mark.parametrize("limits", [{"min_gbps": 9}, {"min_link_share": 0.9}])
def test_a_limit_that_is_missed_is_reported_and_fails_no_task(
    monkeypatch: pytest.MonkeyPatch, limits: dict[str, float]
) -> None:
    answer = judge(monkeypatch, 8.0, **limits)
    assert not answer["passed"] and "failed" not in answer
    assert answer["report"].startswith("r1: the ranks cannot serve over these links: ")
    assert "r1 ranks 0 and 1: n1 - n2 8 Gbit/s; at least " in answer["report"]
    assert answer["result"]["findings"] and not answer["result"]["passed"]
    assert judge(monkeypatch, 9.5, **limits)["passed"]


def test_a_node_that_took_no_part_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    params = {"deployment": "r1", "hosts": ["n1", "n2"], "runs": [runs(8.0)[0], {}], "backend": "gloo"}
    answer, _ = run_action(monkeypatch, ActionModule, params)
    assert not answer["passed"] and "(n2)" in answer["report"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"backend": "tcp"}, "value of backend must be one of: nccl, gloo, mpi, got: tcp"),
        ({"min_gbps": "fast"}, "min_gbps"),
        ({"hosts": None}, "missing required arguments: hosts"),
    ],
)
def test_wrong_arguments_are_refused(monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], message: str) -> None:
    params = {"deployment": "r1", "hosts": ["n1", "n2"], "runs": runs(8.0), **changes}
    with pytest.raises(AnsibleError, match=message):
        run_action(monkeypatch, ActionModule, {name: value for name, value in params.items() if value is not None})
