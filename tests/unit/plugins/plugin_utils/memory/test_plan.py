# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The parallel sizes chosen for given nodes."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from ansible_collections.fullrank.serving.plugins.filter import memory_fit as filter_memory_fit
from ansible_collections.fullrank.serving.plugins.filter import parallel_plan as filter_parallel_plan
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.plan import parallel_plan
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.report import memory_fit
from memory_models import codes, model_of

A100 = {"gpu": "NVIDIA A100-SXM4-80GB"}

PLANS: list[tuple[str, str, dict[str, Any], str, dict[str, Any]]] = [
    # name, model, hardware, engine, what the plan must say
    ("r1-4xa100", "deepseek-r1", {**A100, "nodes": 4}, "sglang", {"tp": 32, "pp": 1, "dtype": "bfloat16"}),
    ("r1-2xh20", "deepseek-r1", {"gpu": "H20", "nodes": 2}, "sglang", {"tp": 16, "pp": 1, "dtype": "", "replicas": 1}),
    ("r1-2xh20-vllm", "deepseek-r1", {"gpu": "H20", "nodes": 2}, "vllm", {"tp": 8, "pp": 2}),
    ("r1-2xh20-no-rdma", "deepseek-r1", {"gpu": "H20", "nodes": 2, "rdma": False}, "sglang", {"tp": 8, "pp": 2}),
    ("r1-4xh100", "deepseek-r1", {"gpu": "H100", "nodes": 4}, "sglang", {"tp": 16, "replicas": 2, "idle_nodes": 0}),
    ("r1-5xh100", "deepseek-r1", {"gpu": "H100", "nodes": 5}, "sglang", {"tp": 16, "replicas": 2, "idle_nodes": 1}),
    ("r1-3xa100", "deepseek-r1", {**A100, "nodes": 3}, "sglang", {"tp": 8, "pp": 3}),
    ("r1-h200-in-fours", "deepseek-r1", {"gpu": "H200", "nvlink_domain": 4, "rdma": False}, "vllm", {"tp": 4, "pp": 2}),
    ("qwen3-235b-1xh20", "qwen3-235b-a22b-fp8", {"gpu": "H20", "nodes": 1}, "sglang", {"tp": 4, "dp": 2}),
    ("70b-1xa100", "deepseek-r1-distill-llama-70b", {**A100, "nodes": 1}, "vllm", {"tp": 4, "dp": 2}),
    ("coder-1xh200", "qwen3-coder-480b-a35b-fp8", {"gpu": "H200", "nodes": 1}, "sglang", {"tp": 8, "ep": 8}),
    ("coder-2xh100", "qwen3-coder-480b-a35b-fp8", {"gpu": "H100", "nodes": 2}, "sglang", {"tp": 16, "ep": 16}),
    ("qwen3-235b-1xh20-vllm", "qwen3-235b-a22b-fp8", {"gpu": "H20", "nodes": 1}, "vllm", {"tp": 4, "dp": 2, "ep": 8}),
    ("lmdeploy-2xh200", "deepseek-r1", {"gpu": "H200", "nodes": 2}, "lmdeploy", {"tp": 8, "pp": 1, "replicas": 2}),
]
SIZES = {"qwen3-235b-a22b-fp8": 236_000_000_000, "qwen3-coder-480b-a35b-fp8": 482_000_000_000}


def sized(name: str) -> dict[str, Any]:
    return {**model_of(name), **({"total_size": SIZES[name]} if name in SIZES else {})}


@pytest.mark.parametrize("name, model, hardware, engine, expected", PLANS, ids=[plan[0] for plan in PLANS])
def test_plan(name: str, model: str, hardware: dict[str, Any], engine: str, expected: dict[str, Any]) -> None:
    plan = parallel_plan(sized(model), hardware, engine)
    assert {key: plan[key] for key in expected} == expected, plan["considered"]
    assert plan["ok"] and plan["why"]
    assert plan["considered"][-1]["reason"] == ""
    assert all(row["reason"] for row in plan["considered"] if row["verdict"] != "fits")
    assert plan == parallel_plan(sized(model), hardware, engine)


@pytest.mark.parametrize("name, model, hardware, engine, expected", PLANS, ids=[plan[0] for plan in PLANS])
def test_the_plan_is_what_the_estimate_calls_fitting(
    name: str, model: str, hardware: dict[str, Any], engine: str, expected: dict[str, Any]
) -> None:
    plan = parallel_plan(sized(model), hardware, engine)
    loaded = {**sized(model), "dtype": plan["dtype"]}
    result = memory_fit(loaded, hardware, {key: plan[key] for key in ("tp", "pp", "dp", "ep")}, engine)
    assert result["verdict"] == "fits" == plan["fit"]["verdict"]
    assert not [one for one in result["findings"] if one["severity"] == "fail"]


def test_when_nothing_fits_the_smallest_number_of_nodes_is_named() -> None:
    plan = parallel_plan(model_of("deepseek-r1"), {"gpu": "H100", "nodes": 1})
    assert not plan["ok"] and plan["tp"] is None and plan["engine_args"] == {}
    assert plan["smallest_nodes"] == 2
    found = next(one for one in plan["findings"] if one["code"] == "no-plan")
    assert found["severity"] == "fail" and "2 such nodes would do (tp 16, pp 1)" in found["remedy"]


def test_a_tight_plan_is_refused_with_the_way_out() -> None:
    plan = parallel_plan(model_of("deepseek-r1"), {"gpu": "H20", "nodes": 1})
    found = next(one for one in plan["findings"] if one["code"] == "no-plan")
    assert not plan["ok"] and plan["fit"]["verdict"] == "tight"
    assert "or settle for less: mem_fraction_static: 0.92 and context_length:" in found["remedy"]


def test_what_no_number_of_nodes_can_hold() -> None:
    plan = parallel_plan(model_of("deepseek-r1"), {"gpu": "T4", "nodes": 1, "gpus_per_node": 1})
    assert plan["smallest_nodes"] is None
    assert "not even 64 such nodes" in next(one["remedy"] for one in plan["findings"] if one["code"] == "no-plan")


def test_conversion_names_its_cost() -> None:
    plan = parallel_plan(model_of("deepseek-r1"), {**A100, "nodes": 4})
    found = next(one for one in plan["findings"] if one["code"] == "convert-to-bf16")
    assert "1369005654408 bytes instead of 688586727753" in found["remedy"]


def test_unequal_nodes_are_a_finding_and_the_least_counts() -> None:
    nodes = [{"gpu": "NVIDIA H200", "memory_mib": mib, "gpus": 8} for mib in (143771, 140000)]
    plan = parallel_plan(model_of("deepseek-r1"), nodes)
    assert "nodes-unequal" in codes(plan) and not plan["ok"]
    assert plan["fit"]["gpu_memory_bytes"] == 140000 * 1024**2


@pytest.mark.parametrize(
    "engine, expected",
    [
        ("sglang", {"tensor_parallel_size": 8, "expert_parallel_size": 8}),
        ("vllm", {"tensor_parallel_size": 8, "enable_expert_parallel": True}),
        ("lmdeploy", {"tp": 8, "ep": 8}),
    ],
)
def test_sizes_in_the_engines_own_words(engine: str, expected: dict[str, Any]) -> None:
    model = sized("qwen3-coder-480b-a35b-fp8")
    plan = parallel_plan(model, {"gpu": "H200"}, engine, context_length=200000, max_concurrency=8)
    assert plan["engine_args"] == expected


def test_the_filters_are_thin() -> None:
    model, hardware = model_of("deepseek-r1"), {"gpu": "H20", "nodes": 2}
    fit = filter_memory_fit.FilterModule().filters()["memory_fit"]
    plan = filter_parallel_plan.FilterModule().filters()["parallel_plan"]
    assert fit(model, hardware, parallel={"tp": 16}) == memory_fit(model, hardware, {"tp": 16})
    assert plan(model, hardware, engine="vllm") == parallel_plan(model, hardware, "vllm")


@pytest.mark.parametrize(
    "module, result",
    [
        (filter_memory_fit, memory_fit(model_of("deepseek-r1"), {"gpu": "H200"}, {"tp": 8})),
        (filter_parallel_plan, parallel_plan(model_of("deepseek-r1"), {"gpu": "H200"})),
        (filter_parallel_plan, parallel_plan(model_of("deepseek-r1"), {"gpu": "T4"})),
    ],
)
def test_what_is_documented_is_what_comes(module: Any, result: dict[str, Any]) -> None:
    options = yaml.safe_load(module.DOCUMENTATION)["options"]
    taken = {"engine", "engine_version", "engine_args", "context_length", "max_concurrency", "kv_dtype", "hardware"}
    assert set(options) - {"_input", "parallel"} == taken
    assert set(yaml.safe_load(module.RETURN)["_value"]["contains"]) == set(result)
