# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action `benchmark_report`: the files that it writes, and what it refuses to compare with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from action_runner import run_action
from ansible.errors import AnsibleError
from ansible_collections.fullrank.serving.plugins.action.benchmark_report import ActionModule
from ansible_collections.fullrank.serving.plugins.module_utils.endpoint import bench_clients
from ansible_collections.fullrank.serving.plugins.plugin_utils.report import benchmark_plot
from places import DATA

RUN = {
    "concurrency": 4,
    "seed": 0,
    "requests": 8,
    **bench_clients.measured("vllm", (DATA / "benchmark/vllm-0.32.0.json").read_text(), 8),
}


def result(deployment: str, **more: Any) -> dict[str, Any]:
    return {
        "deployment": deployment,
        "engine": "vllm 0.32.0",
        "client": "vllm",
        "model": "tiny",
        "prompts": "0d5d",
        "output_tokens": 16,
        "when": "2026-11-28 09:00",
        "runs": [RUN],
        **more,
    }


def arguments(folder: Path, **more: Any) -> dict[str, Any]:
    return {"results": [result("tiny")], "directory": str(folder / "out"), "name": "today", **more}


@pytest.fixture(autouse=True)
def without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark_plot, "HAS_MATPLOTLIB", False)


def test_the_results_are_written_as_data_and_as_a_page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    answer, _ = run_action(monkeypatch, ActionModule, arguments(tmp_path))
    assert answer["changed"] and "failed" not in answer
    assert answer["files"] == [f"{tmp_path}/out/today.json", f"{tmp_path}/out/today.md"]
    assert json.loads((tmp_path / "out/today.json").read_text()) == [result("tiny")]
    page = (tmp_path / "out/today.md").read_text()
    assert "| tiny | vllm 0.32.0 | 4 |" in page and ".svg" not in page
    assert len(answer["table"]) == 2 and answer["cautions"] == []


def test_a_plot_is_a_third_file_and_the_page_shows_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(benchmark_plot, "HAS_MATPLOTLIB", True)
    monkeypatch.setattr(benchmark_plot, "svg", lambda results: f"<svg>{len(results)}</svg>")
    answer, _ = run_action(monkeypatch, ActionModule, arguments(tmp_path))
    assert answer["files"][-1] == f"{tmp_path}/out/today.svg"
    assert (tmp_path / "out/today.svg").read_text() == "<svg>1</svg>"
    assert "(today.svg)" in (tmp_path / "out/today.md").read_text()


def test_check_mode_writes_nothing_and_reports_the_same(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    predicted, _ = run_action(monkeypatch, ActionModule, arguments(tmp_path), check_mode=True)
    assert list(tmp_path.iterdir()) == []
    assert predicted == run_action(monkeypatch, ActionModule, arguments(tmp_path))[0]


def test_earlier_results_come_first_and_are_not_written_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text(json.dumps([result("older", output_tokens=32)]))
    params = arguments(tmp_path, compare=[str(tmp_path / "old.json")])
    answer, _ = run_action(monkeypatch, ActionModule, params)
    assert [line.split()[0] for line in answer["table"][1:]] == ["older", "tiny"]
    assert answer["cautions"] == ["the lengths of the answers differ"]
    assert json.loads((tmp_path / "out/today.json").read_text()) == [result("tiny")]


@pytest.mark.parametrize("text", [None, "{", "[{}]", "7"], ids=["absent", "cut off", "no result", "a number"])
def test_a_file_that_is_no_result_is_named_and_nothing_is_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str | None
) -> None:
    old = tmp_path / "old.json"
    if text is not None:
        old.write_text(text)
    answer, _ = run_action(monkeypatch, ActionModule, arguments(tmp_path, compare=[str(old)]))
    assert answer["failed"] and not answer["changed"]
    assert answer["msg"].startswith(f"{old} (benchmark_compare) is no result of a benchmark: ")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("left_out", ["results", "directory", "name"])
def test_what_is_required(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, left_out: str) -> None:
    params = {name: value for name, value in arguments(tmp_path).items() if name != left_out}
    with pytest.raises(AnsibleError, match=f"missing required arguments: {left_out}"):
        run_action(monkeypatch, ActionModule, params)
