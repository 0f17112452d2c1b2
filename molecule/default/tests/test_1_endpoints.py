# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""After converge: what a client gets at every endpoint, and how fast it is answered."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

BRIEF = {"benchmark_requests": 4, "benchmark_prompt_words": 8, "benchmark_output_tokens": 8}


def test_every_endpoint_is_as_it_should_be(play: Callable[..., Any]) -> None:
    run = play("playbooks/verify.yml")
    assert (run.rc, run.changed) == (0, 0)
    checks = {(one["where"], one["code"]): one["severity"] for one in run.outcome["verify"]["checks"]}
    head, other = "tiny rank 0 (n1)", "tiny rank 1 (n2)"
    assert checks == {
        (head, "model-name"): "pass",
        (head, "key-required"): "warn",  # the local inventory asks for none
        (head, "completion"): "pass",
        (head, "streaming"): "pass",
        (other, "endpoint-silent"): "pass",
    }


def test_a_smoke_benchmark_measures_with_few_requests(play: Callable[..., Any], tmp_path: Path) -> None:
    run = play("playbooks/smoke_benchmark.yml", benchmark_directory=str(tmp_path), **BRIEF)
    assert (run.rc, run.changed) == (0, 1)  # the file of what was measured
    (measured,) = run.outcome["benchmark"]
    assert measured["deployment"] == "tiny"
    assert {one["completed"] for one in measured["runs"]} == {measured["runs"][0]["requests"]}
    assert all(one["output_tokens_per_s"] > 0 and one["ttft_ms"]["median"] > 0 for one in measured["runs"])
    assert json.loads(next(tmp_path.glob("*.json")).read_text()) == [measured]


def test_an_endpoint_that_serves_another_model_is_named(play: Callable[..., Any]) -> None:
    run = play("playbooks/verify.yml", engine_served_model_name="large")
    assert run.rc == 2
    assert "tiny rank 0 (n1)" in run.text and "serves tiny, not large" in run.text


def test_a_benchmark_is_a_table_of_medians(play: Callable[..., Any], tmp_path: Path) -> None:
    levels = {"benchmark_concurrency": [1, 2], "benchmark_repeats": 2}
    run = play("playbooks/benchmark.yml", benchmark_directory=str(tmp_path), **BRIEF, **levels)
    assert run.rc == 0
    (result,) = run.outcome["benchmark"]
    assert [one["concurrency"] for one in result["runs"]] == [1, 1, 2, 2]
    assert len({one["seed"] for one in result["runs"]}) == 4  # no run is answered out of a cache of the one before
    assert "  tiny: run 4 of 4: 2 at a time, 4 requests in " in run.text
    page = next(tmp_path.glob("*.md")).read_text()
    assert page.count("| tiny | vllm 0.32.0 |") == 2
    assert next(tmp_path.glob("*.svg")).stat().st_size > 1000
    # and beside an earlier one
    earlier = str(next(tmp_path.glob("*.json")))
    (tmp_path / "second").mkdir()
    more = {"benchmark_compare": [earlier], "benchmark_repeats": 1, "benchmark_concurrency": [1]}
    again = play("playbooks/benchmark.yml", benchmark_directory=str(tmp_path / "second"), **BRIEF, **more)
    assert again.rc == 0
    assert next((tmp_path / "second").glob("*.md")).read_text().count("| tiny | vllm 0.32.0 |") == 3
