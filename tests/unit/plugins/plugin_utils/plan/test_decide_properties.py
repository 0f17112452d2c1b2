# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the plan proposes is accepted: by the plan itself, and by the rules of the launch."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.files import read_catalog
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.rehearsal import refused
from deployed_models import decided
from memory_models import model_of

MODELS = {
    "deepseek-r1": None,
    "qwen3-235b-a22b-fp8": 236_000_000_000,
    "qwen3-coder-480b-a35b-fp8": 482_000_000_000,
    "deepseek-r1-distill-llama-70b": None,
    "llama-3.1-405b": 812_000_000_000,
}
ENGINES: list[tuple[str, str, dict[str, Any]]] = [
    ("vllm", "0.20.2", {}),
    ("vllm", "0.20.2", {"enable-expert-parallel": True}),
    ("vllm", "0.33.0", {"all2all_backend": "deepep_low_latency", "-ep": True}),
    ("vllm", "0.33.0", {"decode_context_parallel_size": 2}),
    ("sglang", "0.5.5", {}),
    ("sglang", "0.5.12", {"--ep": 8}),
    ("sglang", "0.5.12", {"enable_dp_attention": True, "moe_a2a_backend": "deepep", "moe_dense_tp_size": 1}),
    ("sglang", "0.5.23", {"attn-dp-size": 4, "moe_a2a_backend": "deepep"}),
    ("lmdeploy", "0.18.0", {}),
]
FIRST_CLASS = {"tp": "tensor_parallel_size", "dp": "data_parallel_size"} | {
    name: name for name in ("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size")
}


EXPERTS = ("enable_expert_parallel", "expert_parallel_size")
"""What a proposal sets besides first-class variables, and its reader takes from it."""


def first_class(proposed: dict[str, Any]) -> tuple[dict[str, int], dict[str, Any]]:
    """A proposal as a user would write it: first-class variables, and the rest of ``engine_args``."""
    sizes = {FIRST_CLASS[name]: value for name, value in proposed.items() if name in FIRST_CLASS}
    return sizes, {name: value for name, value in proposed.items() if name not in FIRST_CLASS}


def fails(found: Any) -> list[Any]:
    return [one for one in found if one["severity"] == "fail"]


@pytest.mark.parametrize(("engine", "version", "args"), ENGINES, ids=lambda one: str(one)[:24])
def test_the_plan_accepts_its_own_proposal(engine: str, version: str, args: dict[str, Any]) -> None:
    accepted, options = 0, read_catalog(engine).at(version)
    for model, gpu, nodes in product(MODELS, ("H200", "H20", "H100", "NVIDIA A100-SXM4-80GB"), (1, 2, 3, 4)):
        info = {"model_info": {**model_of(model), **({"total_size": MODELS[model]} if MODELS[model] else {})}}
        plan = decided(engine, version, nodes, gpu, model, engine_args=args, **info)["proposal"]
        if not plan["ok"]:
            continue
        sizes, more = first_class(plan["engine_args"])
        written = {name: value for name, value in args.items() if options.lookup(name).key not in EXPERTS}
        if plan["dtype"]:
            info["model_info"]["dtype"] = plan["dtype"]
        again = decided(
            engine, version, plan["nodes_per_replica"], gpu, model, engine_args=written | more, **sizes, **info
        )
        case = (model, gpu, nodes, plan["engine_args"])
        assert fails(again["findings"]) == [], case
        assert again["fit"]["verdict"] == "fits", case
        assert again["fit"]["gpus"] == plan["gpus_per_replica"], case
        values = {
            "engine_name": engine,
            "engine_version": version,
            "engine_model": "/srv/models/x",
            "engine_served_model_name": "x",
            "engine_gpus_per_node": 8,
            "engine_args": written | more,
            "engine_executor": "ray" if engine == "lmdeploy" else "native",
            **{f"engine_{name}": value for name, value in sizes.items()},
        }
        wrong = refused("x", plan["nodes_per_replica"], values, read_catalog(engine))
        assert [one for one in wrong if one.finding["severity"] == "fail"] == [], case
        accepted += 1
    assert accepted > 5


@pytest.mark.parametrize("ep", [3, 6, 12, 24, 40, 48, 72, 96, 144])
def test_the_number_of_redundant_experts_that_is_named_is_accepted(ep: int) -> None:
    args = {"enable_dp_attention": True, "moe_a2a_backend": "deepep", "moe_dense_tp_size": 1}
    sizes = {"tensor_parallel_size": ep, "data_parallel_size": ep}
    nodes = -(-ep // 8)
    plan = decided("sglang", "0.5.12", nodes, "H200", engine_args=args, **sizes)
    found = next(one for one in plan["findings"] if one["code"] == "experts-indivisible")
    more, smaller = found["data"]["changes"]
    again = decided("sglang", "0.5.12", nodes, "H200", engine_args=args | more["engine_args"], **sizes)
    assert "experts-indivisible" not in {one["code"] for one in again["findings"]}
    tp = smaller["parallel"]["tp"]
    fewer = {"tensor_parallel_size": tp, "data_parallel_size": tp}
    third = decided("sglang", "0.5.12", max(1, tp // 8), "H200", engine_args=args, **fewer)
    assert "experts-indivisible" not in {one["code"] for one in third["findings"]}
