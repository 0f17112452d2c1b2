# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that is offered instead is accepted."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory import remedies
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.gpus import BOARDS
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.plan import parallel_plan
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.report import memory_fit
from hypothesis import example, given, settings
from hypothesis import strategies as st
from memory_logs import LOGS, model
from memory_models import codes, model_of

VERDICTS = ("tight", "does-not-fit", "fp8-unsupported")
GPUS = ["NVIDIA A100-SXM4-80GB", "H100", "H100 PCIe", "H20", "H20-3e", "H200", "B200", "GB300", "GB10", "L40S", "L4", "A10",
        "RTX 4090", "RTX PRO 6000", "T4", "MI300X"]  # fmt: skip
RELEASES = {
    "vllm": ["0.7.3", "0.8.5", "0.11.0", "0.19.0", "0.28.0", None],
    "sglang": ["0.4.5", "0.4.9", "0.5.2", "0.5.9", "0.5.15", "0.5.23", None],
    "lmdeploy": [None],
}
FRACTIONS = {"vllm": "gpu_memory_utilization", "sglang": "mem_fraction_static", "lmdeploy": "cache_max_entry_count"}
ENGINES = st.sampled_from(sorted(RELEASES)).flatmap(
    lambda name: st.tuples(
        st.just(name),
        st.sampled_from(RELEASES[name]),
        st.dictionaries(st.just(FRACTIONS[name]), st.sampled_from([0.5, 0.7, 0.85, 0.9, 0.95, 0.98, 1.0]), max_size=1),
    )
)
HARDWARE = st.builds(
    lambda name, gpus, nodes: {"gpu": name, "gpus_per_node": gpus, "nodes": nodes},
    st.sampled_from(GPUS),
    st.sampled_from([1, 2, 4, 8]),
    st.integers(1, 4),
)
SIZES = st.fixed_dictionaries({"tp": st.sampled_from([1, 2, 3, 4, 8, 12, 16, 32]), "pp": st.sampled_from([1, 2, 4])})
WISHES = st.fixed_dictionaries(
    {},
    optional={
        "context_length": st.sampled_from([4096, 32768, 131072]),
        "max_concurrency": st.sampled_from([1, 4, 64]),
    },
)
CASES = st.tuples(st.sampled_from(sorted(LOGS["models"])), HARDWARE, SIZES, ENGINES, WISHES)


def estimate(case: tuple[Any, ...], change: dict[str, Any]) -> dict[str, Any]:
    """The estimate of a case, with one change that was offered."""
    name, hardware, sizes, (engine_name, release, args), wishes = case
    loaded = {**model(name), **({"dtype": change["dtype"]} if "dtype" in change else {})}
    there = {**hardware, "nodes": change.get("nodes", hardware["nodes"])}
    if "engine" in change:
        engine_name, release, args = change["engine"], None, {}
    wanted = {**wishes, **{key: change[key] for key in ("context_length", "max_concurrency") if key in change}}
    return memory_fit(
        loaded,
        there,
        {**sizes, **change.get("parallel", {})},
        engine_name,
        engine_version=release,
        engine_args={**args, **change.get("engine_args", {})},
        **wanted,
    )


def failures(result: dict[str, Any]) -> list[dict[str, Any]]:
    return [one for one in result["findings"] if one["severity"] == "fail"]


@settings(max_examples=120, deadline=None)
@given(CASES)
def test_every_change_that_is_offered_is_accepted(case: tuple[Any, ...]) -> None:
    for one in estimate(case, {})["findings"]:
        for change in one["data"].get("changes", []):
            after = estimate(case, change)
            assert one["code"] not in codes(after), (one, change, after["summary"])
            if one["code"] in VERDICTS:
                assert after["verdict"] == "fits" and not failures(after), (one, change, after["summary"])


A_RELEASE_WITHOUT_PIPELINES = (
    "deepseek-r1",
    {"gpu": "NVIDIA A100-SXM4-80GB", "gpus_per_node": 8, "nodes": 3},
    {"tp": 1, "pp": 1},
    ("sglang", "0.4.5", {}),
    {},
)


@settings(max_examples=40, deadline=None)
@given(CASES)
@example(A_RELEASE_WITHOUT_PIPELINES)
def test_every_proposal_is_accepted(case: tuple[Any, ...]) -> None:
    """As sizes, and as the engine's options that are printed."""
    name, hardware, _, (engine_name, release, args), wishes = case
    plan = parallel_plan(model(name), hardware, engine_name, engine_version=release, engine_args=args, **wishes)
    if not plan["ok"]:
        return
    sizes = {key: plan[key] for key in ("tp", "pp", "dp", "ep")}
    loaded = {"dtype": plan["dtype"]} if plan["dtype"] else {}
    result = estimate((name, hardware, sizes, (engine_name, release, args), wishes), loaded)
    assert result["verdict"] == "fits" and not failures(result)
    written = estimate((name, hardware, {}, (engine_name, release, {**args, **plan["engine_args"]}), wishes), loaded)
    assert written["verdict"] == "fits" and written["gpus"] == result["gpus"]


def test_a_pool_below_nothing_stops_sglang() -> None:
    """R1 on 8 x H20 and in INT8 on 16 x L40S: SGLang refuses to start with its default fraction."""
    for name, gpu, tp in (("deepseek-r1", "NVIDIA H20", 8), ("deepseek-r1-int8", "NVIDIA L40S", 16)):
        result = memory_fit(model_of(name), {"gpu": gpu, "nodes": tp // 8}, {"tp": tp}, "sglang")
        found = next(one for one in result["findings"] if one["code"] in ("tight", "does-not-fit"))
        assert found["severity"] == "fail" and found["remedy"], result["summary"]
        assert result["kv_pool_bytes"] < 0 or result["verdict"] == "does not fit"


def test_a_fraction_above_0_95_is_a_warning_and_never_fits() -> None:
    args = {"gpu_memory_utilization": 0.97}
    result = memory_fit(model("llama-3.1-8b"), {"gpu": "H200"}, {"tp": 1}, "vllm", engine_args=args)
    found = next(one for one in result["findings"] if one["code"] == "fraction-high")
    assert result["verdict"] == "tight" and found["severity"] == "warn"
    assert found["data"]["changes"] == [{"engine_args": {"gpu_memory_utilization": 0.95}}]


def test_a_verdict_within_the_interval_is_tight_but_no_failure() -> None:
    def at(context: int | None) -> dict[str, Any]:
        args = {"gpu_memory_utilization": 0.95}
        version = {"engine_version": "0.19.0", "engine_args": args, "context_length": context}
        return memory_fit(model("qwen2.5-72b"), {"gpu": "H100"}, {"tp": 2}, "vllm", **version)

    middle = at(None)
    result = at((middle["tokens_that_fit"] + middle["tokens_that_fit_at_least"]) // 2)
    found = next(one for one in result["findings"] if one["code"] == "tight")
    assert result["verdict"] == "tight" and found["severity"] == "warn"


def test_the_sampler_can_be_made_smaller() -> None:
    """gpt-oss-120b on one H100 with vLLM 0.10: 7.4 GiB for 1,024 sequences' logits leave no pool (vllm#23278)."""
    hardware = {"gpu": "H100", "nodes": 1, "gpus_per_node": 1}
    args = {"gpu_memory_utilization": 0.9, "max_model_len": 8192}
    result = memory_fit(model("gpt-oss-120b"), hardware, {"tp": 1}, "vllm", engine_version="0.10.1", engine_args=args)
    found = next(one for one in result["findings"] if one["code"] in ("tight", "does-not-fit"))
    assert found["severity"] == "fail" and "max_num_seqs" in found["remedy"]


def test_no_remedy_names_a_quantization_that_there_is_none_of() -> None:
    result = memory_fit(model_of("deepseek-r1"), {"gpu": "A100", "nodes": 4}, {"tp": 16}, "sglang")
    texts = " ".join(one["remedy"] for one in result["findings"])
    assert "marlin" not in texts.lower() and "convert to BF16" in texts and "vLLM 0.9 or newer" in texts


@pytest.mark.parametrize("pattern", [pattern for pattern, _ in BOARDS])
def test_boards_are_patterns(pattern: str) -> None:
    assert pattern == pattern.upper()


def test_ways_are_in_words_and_in_data() -> None:
    assert remedies.Way("x: 1", {"engine_args": {"x": 1}}).change["engine_args"]
