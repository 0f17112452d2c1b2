# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Load from metrics, with the names of the engines' versions."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.common import http_client
from ansible_collections.fullrank.serving.plugins.module_utils.endpoint import metrics
from ansible_collections.fullrank.serving.plugins.module_utils.node.reader import Host
from ansible_collections.fullrank.serving.plugins.modules.rank_info import gpu_memory, written_engine
from ansible_collections.fullrank.serving.plugins.plugin_utils.diagnosis import status
from places import DATA
from recorded import write

# one sample for each name, as the versions write them (names: data/metrics/SOURCES.md)
VLLM_085 = """\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 3.0
vllm:num_requests_waiting{engine="0",model_name="m"} 2.0
vllm:gpu_cache_usage_perc{engine="0",model_name="m"} 0.25
vllm:generation_tokens_total{engine="0",model_name="m"} 100.0
"""
VLLM_NEW_TWO_ENGINES = """\
vllm_num_requests_running{engine="0"} 1.0
vllm_num_requests_running{engine="1"} 4.0
vllm_num_requests_waiting{engine="0"} 0.0
vllm_kv_cache_usage_perc{engine="0"} 0.1
vllm_kv_cache_usage_perc{engine="1"} 0.7
vllm_generation_tokens_total{engine="0"} 1e3 1795377378123
vllm_generation_tokens_total{engine="1"} 1.0
"""
SGLANG = """\
sglang:num_running_reqs{engine_type="unified",model_name="m",tp_rank="0"} 5.0
sglang:num_queue_reqs{engine_type="unified",model_name="m",tp_rank="0"} 1.0
sglang:token_usage{engine_type="unified",model_name="m",tp_rank="0"} 0.5
sglang:generation_tokens_total{model_name="m"} 7.0
"""


def work(text: str) -> dict[str, list[float]]:
    return metrics.work(metrics.parse(text))


@pytest.mark.parametrize("engine", ["vllm-0.32.0", "sglang-0.5.23"])
def test_what_a_real_engine_moves_only_while_it_works(engine: str) -> None:
    """Idle, busy and hung, as recorded: counters of requests and of time move in all three."""
    recorded = json.loads((DATA / f"metrics/{engine}.json").read_text())
    seen = {state: [work("\n".join(lines)) for lines in texts] for state, texts in recorded.items()}
    for state, texts in recorded.items():
        assert all(first != second for first, second in itertools.pairwise(texts)), state
        same = [first == second for first, second in itertools.pairwise(seen[state])]
        assert (not any(same)) if state == "busy" else all(same), state
    assert all(seen["busy"])


def test_two_engines_that_move_in_opposite_ways_move() -> None:
    first, second = (
        f'vllm:num_requests_running{{engine="0"}} {a}\nvllm:num_requests_running{{engine="1"}} {b}\n'
        for a, b in ((1, 3), (2, 2))
    )
    assert work(first) != work(second)


def test_what_is_no_number_does_not_move() -> None:
    text = "sglang:cache_hit_rate NaN\nsglang:num_running_reqs 1\n"
    assert work(text) == work(text)
    assert not work("http_requests_total 9\nvllm:request_success_total 4\nsglang:num_aborted_requests_total 3\n")
    assert work("sglang_prompt_tokens_total 5\n") == {"sglang_prompt_tokens_total": [5]}  # as some write the colon


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (VLLM_085, {"running": 3, "waiting": 2, "generated": 100, "kv_usage": 0.25}),
        (VLLM_NEW_TWO_ENGINES, {"running": 5, "waiting": 0, "generated": 1001, "kv_usage": 0.7}),
        (SGLANG, {"running": 5, "waiting": 1, "generated": 7, "kv_usage": 0.5}),
        ("", {"running": None, "waiting": None, "generated": None, "kv_usage": None}),
        (
            "no metrics\nnan_metric{} NaN\nx y z",
            {"running": None, "waiting": None, "generated": None, "kv_usage": None},
        ),
    ],
)
def test_names_over_versions(text: str, expected: dict[str, Any]) -> None:
    assert metrics.summary(metrics.parse(text)) == expected


@pytest.mark.parametrize(
    ("before", "after", "rate"), [(100, 150, 25.0), (100, 100, 0.0), (100, 5, None), (None, 5, None)]
)
def test_tokens_per_second(before: float | None, after: float | None, rate: float | None) -> None:
    rest: dict[str, float | None] = {"running": 1, "waiting": 0, "kv_usage": 0.1}
    summary = metrics.busy({**rest, "generated": before}, {**rest, "generated": after}, 2.0)
    assert summary == {**rest, "tokens_per_s": rate}


def test_an_engine_without_metrics_gives_the_reason() -> None:
    assert "refused" in metrics.ask("http://127.0.0.1:9", None, 1.0)["error"].lower()


def test_metrics_that_are_refused_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        http_client, "request", lambda _url, **_how: http_client.Answer(404, body=b"vllm:num_requests_running 1")
    )
    assert metrics.ask("http://x", None, 1.0) == {"error": "HTTP 404"}


ROW = {"deployment": "a", "replica": 0, "rank": 0, "host": "n1", "health": "ready"}


def test_only_columns_with_something_in_them_are_shown() -> None:
    assert status.columns([ROW]) == ([], [[]])
    info = {
        "engine": "vllm 0.32.0",
        "gpus": [{"memory_used_mib": 70000, "memory_total_mib": 81920}] * 2,
        "metrics": {"running": 3.0, "waiting": 0.0, "kv_usage": 0.25, "tokens_per_s": 41.25, "error": ""},
    }
    headings, cells = status.columns([{**ROW, **status.load(info)}, ROW])
    assert headings == ["ENGINE", "GPU MEMORY", "TOKENS/S", "RUNNING", "WAITING", "KV CACHE"]
    assert cells == [["vllm 0.32.0", "137/160 GiB", "41.2", "3", "0", "25%"], ["-"] * 6]


def test_what_does_not_serve() -> None:
    rows = [ROW, {**ROW, "rank": 1, "health": "stopped"}, {**ROW, "rank": 2, "health": "down"}]
    assert status.not_ready(rows) == ["a rank 2 (n1): down"]
    rows = [ROW, {**ROW, "replica": 1, "health": "down"}]
    assert status.not_ready(rows) == ["a replica 1 rank 0 (n1): down"]


def test_version_and_gpus_of_a_recorded_node(tmp_path: Path) -> None:
    assert written_engine({"exists": True, "description": "tiny: rank 0 of 2, vllm 0.32.0"}) == "vllm 0.32.0"
    assert written_engine({"exists": False, "description": "fullrank-rank@tiny.service"}) == ""
    assert gpu_memory(Host(str(tmp_path))) == []
    write(tmp_path, "commands/nvidia-smi -q -x", (DATA / "nvidia_smi/rtx-pro-6000-v13.xml").read_text())
    (first, *_) = gpu_memory(Host(str(tmp_path)))
    assert first["index"] == 0 and 0 <= first["memory_used_mib"] < first["memory_total_mib"]
