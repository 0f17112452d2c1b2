# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What follows the attention: which layers have experts, and how wide everything is."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.models.feedforward import (
    feed_forward,
    sparse_layers,
    with_feed_forward,
)
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.models.fields import Fields
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.models.layer import Layer


@pytest.mark.parametrize(
    "fields, expected",
    [
        ({}, "11111111"),
        ({"first_k_dense_replace": 3}, "00011111"),
        ({"num_dense_layers": 2}, "00111111"),
        ({"mlp_only_layers": [0, 5], "decoder_sparse_step": 1}, "01111011"),
        ({"decoder_sparse_step": 2}, "01010101"),
        ({"first_k_dense_replace": 1, "moe_layer_freq": 2}, "00101010"),
        ({"moe_layer_freq": [0, 1, 1, 1, 1, 1, 1, 1]}, "01111111"),
        ({"moe_layers_enum": "3,4,5,6,7"}, "00011111"),
        ({"mlp_layer_types": ["dense", "sparse"] * 4}, "01010101"),
        ({"interleave_moe_layer_step": 2}, "01010101"),
        ({"expert_layer_period": 2, "expert_layer_offset": 1}, "01010101"),
        ({"moe_layer_start_index": 3, "moe_layer_end_index": 6, "moe_layer_interval": 1}, "00011110"),
    ],
)
def test_layers_with_experts(fields: dict[str, Any], expected: str) -> None:
    assert "".join("01"[sparse] for sparse in sparse_layers(Fields(fields), 8)) == expected


def test_parameters_by_part() -> None:
    fields = Fields(
        {
            "hidden_size": 8,
            "intermediate_size": 32,
            "moe_intermediate_size": 4,
            "n_routed_experts": 16,
            "n_shared_experts": 2,
            "first_k_dense_replace": 1,
        }
    )
    dense, sparse = with_feed_forward(fields, [Layer(), Layer()], feed_forward(fields, 2, "deepseek_v3"))
    assert (dense.dense_parameters, dense.expert_parameters) == (3 * 8 * 32, 0)
    assert (sparse.expert_parameters, sparse.shared_parameters, sparse.router_parameters) == (
        16 * 3 * 8 * 4,
        3 * 8 * 8,
        16 * 8,
    )


def test_families_without_a_gate_and_experts_in_a_narrower_space() -> None:
    assert feed_forward(Fields({"hidden_size": 8, "intermediate_size": 32}), 1, "starcoder2").matrices == 2
    fields = Fields(
        {
            "hidden_size": 8,
            "moe_intermediate_size": 4,
            "n_routed_experts": 2,
            "moe_latent_size": 2,
            "hybrid_override_pattern": "E*",
        }
    )
    parts = feed_forward(fields, 2, "nemotron_h")
    assert (parts.kinds, parts.latent) == (("sparse", "absent"), 2)
    assert with_feed_forward(fields, [Layer(), Layer()], parts)[0].expert_parameters == 2 * 2 * 2 * 4


def test_lfm2_adjusts_its_width() -> None:
    fields = Fields(
        {"hidden_size": 2048, "block_ff_dim": 12288, "block_multiple_of": 256, "block_ffn_dim_multiplier": 1.0}
    )
    assert feed_forward(fields, 1, "lfm2").intermediate == 8192
