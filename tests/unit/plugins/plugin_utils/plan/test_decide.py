# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The memory of a deployment is judged with the parallel sizes that its launch has, however they are written."""

from __future__ import annotations

import pytest
from deployed_models import decided
from memory_models import GIB

ATTENTION = {"tensor_parallel_size": 16, "data_parallel_size": 16}


def test_attention_data_parallel_takes_no_gpus_of_its_own_however_it_is_written() -> None:
    spellings = [
        ATTENTION | {"engine_args": {"enable_dp_attention": True}},
        ATTENTION | {"engine_args": {"enable-dp-attention": True}},
        {"tensor_parallel_size": 16, "engine_args": {"attn_dp_size": 16}},
        {"tensor_parallel_size": 16, "engine_args": {"attention-data-parallel-size": 16}},
    ]
    fits = [decided("sglang", "0.5.23", 2, **variables)["fit"] for variables in spellings]
    assert [fit["gpus"] for fit in fits] == [16] * 4
    assert {round(fit["weights_per_gpu_bytes"] / GIB, 1) for fit in fits} == {53.7}
    plain = decided("sglang", "0.5.23", 2, tensor_parallel_size=16)["fit"]
    assert round(plain["weights_per_gpu_bytes"] / GIB, 1) == 40.4


@pytest.mark.parametrize(("ep", "redundant"), [(24, 8), (32, 0), (32, 32), (48, 32)])
def test_redundant_experts_count_when_experts_are_dealt(ep: int, redundant: int) -> None:
    args = {
        "enable_dp_attention": True,
        "moe_a2a_backend": "deepep",
        "moe_dense_tp_size": 1,
        "ep_num_redundant_experts": redundant,
    }
    plan = decided("sglang", "0.5.12", ep // 8, tensor_parallel_size=ep, data_parallel_size=ep, engine_args=args)
    # the memory that is left is another question
    assert [one for one in plan["findings"] if one["severity"] == "fail" and one["code"] != "tight"] == []
    assert plan["fit"]["parallel"]["ep"] == ep


def test_experts_that_cannot_be_dealt_are_refused_with_a_number_that_can() -> None:
    args = {"moe_a2a_backend": "deepep", "enable_dp_attention": True, "moe_dense_tp_size": 1}
    sizes = {"tensor_parallel_size": 48, "data_parallel_size": 48}
    plan = decided("sglang", "0.5.12", 6, **sizes, engine_args=args)
    found = next(one for one in plan["findings"] if one["code"] == "experts-indivisible")
    assert found["remedy"]


def test_whole_experts_of_vllm() -> None:
    """Block 128 of FP8: experts are cut into 32 parts, or stay whole."""
    sizes = {"tensor_parallel_size": 1, "data_parallel_size": 32}
    cut = decided("vllm", "0.20.2", 4, **sizes)
    whole = decided("vllm", "0.20.2", 4, **sizes, engine_args={"enable-expert-parallel": True})
    assert [one["code"] for one in cut["findings"] if one["severity"] == "fail"] == ["fp8-block-indivisible"]
    assert [one["code"] for one in whole["findings"] if one["severity"] == "fail"] == []


def test_context_parallel_is_part_of_the_arithmetic() -> None:
    """16 copies of the cache become one that 16 GPUs share."""
    sizes = {"tensor_parallel_size": 8}
    alone = decided("vllm", "0.28.0", 1, **sizes)["fit"]
    both = decided("vllm", "0.28.0", 2, **sizes, engine_args={"-pcp": 2, "-dcp": 16})["fit"]
    assert (alone["gpus"], both["gpus"]) == (8, 16)
    assert both["kv_bytes_per_token_per_gpu"] == -(-alone["kv_bytes_per_token_per_gpu"] // 16)
