# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engines' benchmark clients: how they are called, and what they report."""

from __future__ import annotations

import dataclasses
import itertools
import json
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.endpoint import bench_clients
from places import DATA

DATA = DATA / "benchmark"
LOAD = bench_clients.Load(
    "http://127.0.0.1:8000", "tiny", "/srv/tiny", "/tmp/p.json", "/tmp/r/result.json", 8, 4, 32, 1, 7
)


def options(argv: list[str]) -> dict[str, str]:
    return {name: value for name, value in itertools.pairwise(argv) if name.startswith("--")}


@pytest.mark.parametrize("client", bench_clients.CLIENTS)
def test_both_clients_get_the_same_request(client: str) -> None:
    argv = bench_clients.argv(client, "/opt/engine", LOAD)
    parsed = options(argv)
    assert argv[0].startswith("/opt/engine/bin/")
    assert {name: parsed[name] for name in ("--num-prompts", "--max-concurrency", "--seed", "--base-url")} == {
        "--num-prompts": "8",
        "--max-concurrency": "4",
        "--seed": "7",
        "--base-url": "http://127.0.0.1:8000",
    }
    assert (parsed["--dataset-name"], parsed["--sharegpt-output-len"]) == ("sharegpt", "32")


def test_in_an_image_the_programs_are_on_the_path() -> None:
    assert bench_clients.argv("vllm", "", LOAD)[0] == "vllm"
    assert bench_clients.argv("sglang", "", LOAD)[:2] == ["python3", "-c"]


@pytest.mark.parametrize(
    "places", [["bench_serving"], ["bench_serving", "benchmark/serving"], ["bench_serving", "benchmark/x"]]
)
def test_sglangs_client_is_found_where_a_version_has_it(tmp_path: Path, places: list[str]) -> None:
    for place in places:
        module = tmp_path / f"sglang/{place}.py"
        module.parent.mkdir(parents=True, exist_ok=True)
        module.write_text("import sys\nif __name__ == '__main__': print(__file__, sys.argv[1:])\n")
    words = [sys.executable, *bench_clients.argv("sglang", "", LOAD)[1:]]
    printed = subprocess.run(words, cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    wanted = "benchmark/serving" if "benchmark/serving" in places else "bench_serving"
    assert (
        printed.startswith(str(tmp_path / f"sglang/{wanted}.py")) and "'--base-url', 'http://127.0.0.1:8000'" in printed
    )


def test_prompts_are_the_same_for_every_engine_and_different_in_every_run() -> None:
    first = bench_clients.prompts(20, 12, seed=1)
    assert first == bench_clients.prompts(20, 12, seed=1)
    assert {len(prompt.split()) for prompt in first} == {12}
    assert not {prompt[:40] for prompt in first} & {prompt[:40] for prompt in bench_clients.prompts(20, 12, seed=2)}
    assert [one["conversations"][0]["value"] for one in json.loads(bench_clients.prompts_text(first))] == first


def test_a_result_of_vllms_client() -> None:
    """Recorded: vLLM 0.32.0 on CPU, tests/unit/data/benchmark/SOURCES.md."""
    text = (DATA / "vllm-0.32.0.json").read_text()
    found = bench_clients.measured("vllm", text, 8)
    raw = json.loads(text)
    assert (found["completed"], found["failed"]) == (8, 0)
    assert found["output_tokens"] == 8 * 16
    assert found["output_tokens_per_s"] == pytest.approx(raw["output_throughput"], abs=0.01)
    assert found["ttft_ms"]["median"] == pytest.approx(raw["median_ttft_ms"], abs=0.01)
    assert found["itl_ms"]["p99"] == pytest.approx(raw["p99_itl_ms"], abs=0.01)


RECORDED = (DATA / "sglang-0.5.23.jsonl").read_text()


def test_a_result_of_sglangs_client() -> None:
    """Recorded: SGLang 0.5.23 on CPU, tests/unit/data/benchmark/SOURCES.md."""
    found, raw = bench_clients.measured("sglang", RECORDED, 8), json.loads(RECORDED)
    assert (found["completed"], found["failed"], found["output_tokens"]) == (8, 0, 8 * 16)
    assert found["output_tokens_per_s"] == pytest.approx(raw["output_throughput"], abs=0.01)
    assert found["ttft_ms"]["median"] == pytest.approx(raw["median_ttft_ms"], abs=0.01)
    assert found["itl_ms"]["p99"] == pytest.approx(raw["p99_itl_ms"], abs=0.01)


def test_sglangs_client_appends_and_does_not_count_failures() -> None:
    last = json.dumps(json.loads(RECORDED) | {"completed": 7}) + "\n"
    found = bench_clients.measured("sglang", RECORDED + last, 8)
    assert (found["completed"], found["failed"]) == (7, 1)


@pytest.mark.parametrize("text", ["", "not json", "[]", "{}", '{"completed": "many"}'])
@pytest.mark.parametrize("client", bench_clients.CLIENTS)
def test_what_is_no_result_is_reported_as_none(client: str, text: str) -> None:
    with pytest.raises(ValueError, match=f"not a result of {client}'s client"):
        bench_clients.measured(client, text, 8)


def test_texts_are_embedded_by_vllms_client() -> None:
    argv = bench_clients.argv("vllm", "", dataclasses.replace(LOAD, task="embed"))
    parsed = options(argv)
    assert (parsed["--backend"], parsed["--endpoint"]) == ("openai-embeddings", "/v1/embeddings")
    assert "--ignore-eos" not in argv and parsed["--percentile-metrics"] == "e2el"
    raw = {"completed": 7, "failed": 1, "duration": 2.0, "total_input_tokens": 700, "request_throughput": 3.5}
    raw |= {"median_e2el_ms": 12.3456, "mean_e2el_ms": 13.0, "p99_e2el_ms": 20.0}
    assert bench_clients.measured("vllm", json.dumps(raw), 8, "embed") == {
        "completed": 7,
        "failed": 1,
        "seconds": 2.0,
        "input_tokens": 700,
        "requests_per_s": 3.5,
        "texts_per_s": 3.5,
        "latency_ms": {"median": 12.35, "mean": 13.0, "p99": 20.0},
    }
