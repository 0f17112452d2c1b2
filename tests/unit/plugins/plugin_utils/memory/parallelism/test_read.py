# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parallel sizes from options, as each engine means them (sources: the module)."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.files import read_catalog
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.parallelism.read import parallel
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.parallelism.resolve import resolved
from hypothesis import given
from hypothesis import strategies as st

Options = dict[str, Any]
CASES: list[tuple[str, str, int, Options, Options]] = [
    # engine, version, nodes, options as people write them, what they mean
    ("vllm", "0.20.2", 2, {"tp": 8, "pp": 2}, {"gpus": 16, "expert_shards": 8, "ep": 1}),
    ("vllm", "0.20.2", 2, {"-dp": 16, "enable-expert-parallel": True}, {"gpus": 16, "ep": 16, "copies_per_node": 8}),
    ("vllm", "0.20.2", 1, {"tp": 4, "-dp": 2}, {"gpus": 8, "expert_tp": 8, "attention_tp": 4, "shared_tp": 4}),
    ("vllm", "0.20.2", 1, {"tp": 4, "-dp": 2, "-ep": True}, {"ep": 8, "expert_tp": 1, "shared_tp": 1}),
    ("vllm", "0.20.2", 1, {"-ep": True, "eplb_config": {"num_redundant_experts": 32}}, {"redundant_experts": 32}),
    ("vllm", "0.28.0", 2, {"prefill_context_parallel_size": 16}, {"gpus": 16, "kv_shards": 1}),
    ("vllm", "0.28.0", 2, {"tp": 8, "-pcp": 2, "-dcp": 16}, {"gpus": 16, "kv_shards": 16, "attention_tp": 8}),
    ("vllm", "0.20.2", 2, {"tp": 8, "-pcp": 2, "-dcp": 8}, {"gpus": 16, "kv_shards": 16}),
    ("vllm", "0.20.2", 4, {"tp": 16, "-dp": 2}, {"nodes_per_copy": 2, "copies_per_node": 1, "balancing": "internal"}),
    ("vllm", "0.20.2", 2, {"-dp": 16, "data_parallel_hybrid_lb": True}, {"balancing": "hybrid"}),
    ("vllm", "0.20.2", 2, {"tp": 8, "-dp": 2, "data_parallel_hybrid_lb": True}, {"balancing": "external"}),
    ("vllm", "0.20.2", 2, {"tp": 8, "-dp": 2, "-dpe": True}, {"balancing": "external"}),
    ("vllm", "0.20.2", 1, {"tp": 8, "-dp": 2, "-dpe": True}, {"balancing": "internal"}),
    ("sglang", "0.5.12", 2, {"tp": 16, "dp_size": 2}, {"gpus": 32, "schedulers": 2}),
    (
        "sglang",
        "0.5.12",
        2,
        {"tp": 16, "dp": 16, "enable-dp-attention": True, "moe_a2a_backend": "deepep"},
        {"gpus": 16, "dp": 1, "schedulers": 16, "attention_tp": 1, "ep": 16, "shared_tp": 1, "dense_tp": 16},
    ),
    (
        "sglang",
        "0.5.23",
        4,
        {"tp": 32, "dp": 4, "enable_dp_attention": True, "ep": 32},
        {"gpus": 32, "attention_tp": 8, "ep": 32, "expert_tp": 1, "shared_tp": 32},
    ),
    ("sglang", "0.5.23", 2, {"tp": 16, "attn-dp-size": 16}, {"gpus": 16, "attention_dp": 16, "attention_tp": 1}),
    ("sglang", "0.5.23", 1, {"tp": 8, "attn_cp_size": 4, "attn_dp_size": 2}, {"attention_tp": 1, "gpus": 8}),
    ("sglang", "0.5.23", 1, {"tp": 8, "ep": 2}, {"ep": 2, "expert_tp": 4, "expert_shards": 8}),
    ("sglang", "0.5.23", 1, {"tp": 8, "moe_dp_size": 2, "ep": 4}, {"ep": 4, "expert_tp": 1, "expert_shards": 4}),
    ("sglang", "0.5.23", 1, {"tp": 8, "dcp_size": 8}, {"kv_shards": 8, "gpus": 8}),
    (
        "sglang",
        "0.5.12",
        6,
        {"tp": 48, "moe_a2a_backend": "deepep", "moe_dense_tp_size": 1, "ep_num_redundant_experts": 32},
        {"dense_tp": 1, "redundant_experts": 32, "ep": 48},
    ),
    ("sglang", "0.4.6", 1, {"tp": 8, "ep_size": 8}, {"ep": 1, "expert_tp": 8}),
    ("sglang", "0.4.6", 1, {"tp": 8, "enable_ep_moe": True}, {"ep": 8, "expert_tp": 1}),
    ("sglang", "0.4.6", 1, {"tp": 8, "enable_deepep_moe": True}, {"ep": 8, "shared_tp": 1}),
    ("lmdeploy", "0.10.2", 1, {"tp": 4, "dp": 2}, {"gpus": 8, "schedulers": 2}),
    ("lmdeploy", "0.10.2", 2, {"dp": 16, "ep": 16}, {"gpus": 16, "schedulers": 16, "attention_tp": 1, "dense_tp": 1}),
    ("lmdeploy", "0.10.2", 1, {"tp": 8, "ep": 8, "backend": "pytorch"}, {"gpus": 8, "attention_tp": 8}),
    ("lmdeploy", "0.18.0", 1, {"tp": 8, "dp": 2, "backend": "pytorch"}, {"gpus": 8, "attention_tp": 4, "expert_tp": 8}),
    ("lmdeploy", "0.18.0", 2, {"dp": 4, "ep": 16}, {"gpus": 16, "attention_tp": 4, "ep": 16}),
]


@pytest.mark.parametrize(("engine", "version", "nnodes", "options", "meant"), CASES)
def test_what_options_mean(engine: str, version: str, nnodes: int, options: Options, meant: Options) -> None:
    values = resolved(read_catalog(engine).at(version), options)
    sizes = parallel(engine, version, values, nnodes)
    assert {name: getattr(sizes, name) for name in meant} == meant, (values, sizes)


ANYTHING = st.none() | st.booleans() | st.integers(-9, 999) | st.text(max_size=4) | st.lists(st.integers(), max_size=2)
NAMES = st.sampled_from(sorted({name for case in CASES for name in case[3]} | {"tensor_parallel_size", "eplb_config"}))


@given(
    engine=st.sampled_from(["vllm", "sglang", "lmdeploy", "ray", "x"]),
    version=st.sampled_from(["", "0.4.6", "0.10.2", "0.33.0"]),
    nnodes=st.integers(-1, 9),
    values=st.dictionaries(NAMES, ANYTHING, max_size=5),
)
def test_any_values_give_sizes(engine: str, version: str, nnodes: int, values: Options) -> None:
    sizes = parallel(engine, version, values, nnodes)
    assert sizes.gpus >= 1 and sizes.attention_tp >= 1 and sizes.expert_tp >= 1 and sizes.schedulers >= 1
    assert sizes.serves(0) and sizes.product
