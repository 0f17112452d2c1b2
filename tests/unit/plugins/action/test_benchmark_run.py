# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action `benchmark_run`: one call of the module for each run, each with a seed of its own, and a line after each."""

from __future__ import annotations

from typing import Any

import pytest
from action_runner import run_action
from ansible.errors import AnsibleActionSkip, AnsibleError
from ansible_collections.fullrank.serving.plugins.action.benchmark_run import ActionModule
from ansible_collections.fullrank.serving.plugins.module_utils.endpoint import bench_clients
from places import DATA

MEASURED = bench_clients.measured("vllm", (DATA / "benchmark/vllm-0.32.0.json").read_text(), 8)
ARGUMENTS = {
    "deployment": "tiny",
    "client": "vllm",
    "venv": "/opt/vllm",
    "url": "http://127.0.0.1:8000",
    "model": "tiny",
    "tokenizer": "/srv/tiny",
    "concurrency": [1, 8],
    "requests": 8,
    "repeats": 2,
    "seed": 5,
}


class Node:
    """Measures; the run number ``fails`` fails."""

    def __init__(self, fails: int = 0) -> None:
        self.fails = fails
        self.calls: list[tuple[list[int], int]] = []

    def __call__(self, _module: str, arguments: dict[str, Any]) -> dict[str, Any]:
        self.calls.append((arguments["concurrency"], arguments["seed"]))
        if len(self.calls) == self.fails:
            return {"failed": True, "msg": "tiny, 1 at a time: vllm's client failed: refused"}
        run = {"concurrency": arguments["concurrency"][0], "seed": arguments["seed"], "requests": 8, **MEASURED}
        return {"changed": False, "runs": [run]}


def test_each_level_is_run_as_often_as_asked_with_seeds_that_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node()
    result, shown = run_action(monkeypatch, ActionModule, ARGUMENTS, node)
    assert node.calls == [([1], 5), ([1], 6), ([8], 7), ([8], 8)]
    assert result["changed"] is False and [one["seed"] for one in result["runs"]] == [5, 6, 7, 8]
    assert [line.partition(" at a time")[0] for line in shown] == [
        "  tiny: run 1 of 4: 1",
        "  tiny: run 2 of 4: 1",
        "  tiny: run 3 of 4: 8",
        "  tiny: run 4 of 4: 8",
    ]


def test_a_failure_ends_it_and_returns_what_was_measured_before(monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node(fails=2)
    result, shown = run_action(monkeypatch, ActionModule, ARGUMENTS, node)
    assert result["failed"] and result["msg"] == "tiny, 1 at a time: vllm's client failed: refused"
    assert [one["seed"] for one in result["runs"]] == [5] and len(node.calls) == 2 and len(shown) == 1


def test_check_mode_sends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AnsibleActionSkip):
        run_action(monkeypatch, ActionModule, ARGUMENTS, check_mode=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"client": "lmdeploy"}, "value of client must be one of: vllm, sglang, got: lmdeploy"),
        ({"concurrency": ["many"]}, "concurrency"),
        ({"levels": [1]}, "Unsupported parameters"),
    ],
)
def test_wrong_arguments_are_refused_before_a_run(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(AnsibleError, match=message):
        run_action(monkeypatch, ActionModule, ARGUMENTS | changes)
