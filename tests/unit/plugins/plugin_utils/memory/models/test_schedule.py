# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists and periods of layers, in the words of each family."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.models.fields import Fields
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.models.schedule import schedule

LETTERS = {
    "full": "F",
    "window": "W",
    "chunk": "C",
    "state": "S",
    "both": "B",
    "none": "-",
    "cross": "X",
    "shared": "=",
}


@pytest.mark.parametrize(
    "model_type, fields, expected",
    [
        ("llama", {}, "FFFFFFFF"),
        ("mistral", {"sliding_window": 4096, "max_position_embeddings": 32768}, "WWWWWWWW"),
        ("phi3", {"sliding_window": 262144, "max_position_embeddings": 131072}, "FFFFFFFF"),
        ("qwen2", {"sliding_window": 4096, "use_sliding_window": False}, "FFFFFFFF"),
        ("qwen2", {"sliding_window": 4096, "use_sliding_window": True, "max_window_layers": 6}, "FFFFFFWW"),
        ("gemma2", {"sliding_window": 4096}, "WFWFWFWF"),
        ("gemma3_text", {"sliding_window": 1024}, "WWWWWFWW"),
        ("gemma3_text", {"sliding_window": 1024, "sliding_window_pattern": 4}, "WWWFWWWF"),
        ("gemma4_text", {"sliding_window": 1024}, "WWWWWFWF"),
        ("cohere2", {"sliding_window": 4096}, "WWWFWWWF"),
        ("exaone4", {"sliding_window": 4096, "sliding_window_pattern": "LLLG"}, "WWWFWWWF"),
        ("exaone4", {"sliding_window": None, "sliding_window_pattern": None}, "FFFFFFFF"),
        ("gpt_oss", {"sliding_window": 128}, "WFWFWFWF"),
        ("llama4_text", {"attention_chunk_size": 8192, "no_rope_layers": [1, 1, 1, 0] * 2}, "CCCFCCCF"),
        ("llama4_text", {"attention_chunk_size": 8192, "no_rope_layers": []}, "CCCFCCCF"),
        ("mimo_v2_flash", {"hybrid_layer_pattern": [0, 1, 1, 1, 0, 1, 1, 1]}, "FWWWFWWW"),
        ("nemotron_h", {"hybrid_override_pattern": "MEM*EM-*"}, "S-SF-S-F"),
        ("nemotron_h", {"layers_block_type": ["mamba", "moe", "attention", "mlp"] * 2}, "S-F-S-F-"),
        (
            "kimi_linear",
            {"linear_attn_config": {"full_attn_layers": [4, 8], "kda_layers": [1, 2, 3, 5, 6, 7]}},
            "SSSFSSSF",
        ),
        ("minimax_m1", {"attn_type_list": [0, 0, 0, 1] * 2}, "SSSFSSSF"),
        ("jamba", {"attn_layer_period": 8, "attn_layer_offset": 4}, "SSSSFSSS"),
        ("bamba", {"attn_layer_indices": [2, 6]}, "SSFSSSFS"),
        ("lfm2", {"full_attn_idxs": [2, 5]}, "SSFSSFSS"),
        ("lfm2", {"layer_types": ["conv", "conv", "full_attention", "conv"] * 2}, "SSFSSSFS"),
        ("zamba2", {"hybrid_layer_ids": [2, 7]}, "SSBSSSSB"),
        ("falcon_h1", {}, "BBBBBBBB"),
        ("mamba2", {}, "SSSSSSSS"),
        ("qwen3_next", {"full_attention_interval": 4}, "SSSFSSSF"),
        ("qwen3_next", {}, "SSSFSSSF"),
        ("bailing_hybrid", {"layer_group_size": 3}, "SSFSSFFF"),
        ("recurrent_gemma", {"block_types": ["recurrent", "recurrent", "attention"]}, "SSWSSWSS"),
        ("plamo2", {"mamba_step": 2, "attention_window_size": 2048, "full_attention_idx": [3]}, "SWSFSWSW"),
        ("mllama_text_model", {"cross_attention_layers": [3, 7]}, "FFFXFFFX"),
        ("phi4flash", {"mb_per_layer": 2}, "SWSWSF-="),
    ],
)
def test_the_kind_of_each_layer(model_type: str, fields: dict[str, Any], expected: str) -> None:
    found = schedule(Fields(fields), 8, model_type)
    assert "".join(LETTERS[kind] for kind in found.kinds) == expected
    assert not found.unknown


def test_a_longer_list_is_cut_and_a_name_without_meaning_is_reported() -> None:
    found = schedule(Fields({"layer_types": ["full_attention", "spiral_attention"] * 6}), 8, "step3p5")
    assert found.kinds == ("full",) * 8
    assert found.unknown == ("spiral_attention",) and found.source == "layer_types"
