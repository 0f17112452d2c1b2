# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Families that no list and no period describes."""

from __future__ import annotations

from typing import Any

from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.models.families import family_known, special
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.models.feedforward import FeedForward
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.models.fields import Fields
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.models.layer import Layer

BASE = {"hidden_size": 1024, "num_attention_heads": 8, "head_dim": 128, "num_key_value_heads": 2}


def built(fields: dict[str, Any], layers: int, model_type: str) -> tuple[Layer, ...]:
    found = special(Fields({**BASE, **fields}), layers, model_type, FeedForward(("dense",) * layers, 4096))
    assert found is not None
    return found


def test_blocks_of_nemotron_nas() -> None:
    blocks = [
        {"attention": {"n_heads_in_group": 4}, "ffn": {"ffn_mult": 1.5}},
        {"attention": {"no_op": True}, "ffn": {"intermediate_size": 512}},
        {"attention": {"replace_with_linear": True}, "ffn": {"no_op": True}},
    ]
    layers = built({"block_configs": blocks}, 3, "nemotron-nas")
    assert [(one.kind, one.kv_heads) for one in layers] == [("full", 2), ("none", 0), ("none", 0)]
    assert [one.dense_parameters for one in layers] == [3 * 1024 * 1024, 3 * 1024 * 512, 0]


def test_longcat_has_two_attentions_in_each_layer() -> None:
    assert len(built({"kv_lora_rank": 512, "qk_rope_head_dim": 64}, 28, "longcat_flash")) == 56


def test_deepseek_v4_keeps_a_window_in_every_layer() -> None:
    layers = built(
        {"compress_ratios": [0, 4, 128, 0], "index_head_dim": 128, "head_dim": 512, "sliding_window": 128},
        3,
        "deepseek_v4",
    )
    assert [(one.kind, one.ratio, one.index, one.tail) for one in layers] == [
        ("window", 1, 0, 0),
        ("full", 4, 128, 512),
        ("full", 128, 0, 512),
    ]


def test_whisper_keeps_the_encoders_output_and_llama_vision_the_images() -> None:
    layers = built({"max_source_positions": 1500}, 2, "whisper")
    assert [(one.kind, one.span, one.tail) for one in layers] == [("full", 1500, 512)] * 2
    assert [one.kind for one in built({"cross_attention_layers": [1]}, 2, "mllama_text_model")] == ["full", "cross"]


def test_the_others_are_left_to_their_fields() -> None:
    assert special(Fields(BASE), 2, "llama", FeedForward(())) is None


def test_which_families_are_known() -> None:
    assert family_known("llama", {}, True) and family_known("minimax_m1", {}, False) and family_known("", {}, False)
    assert not family_known("tomorrow", {}, False) and not family_known(
        "", {"architectures": ["TomorrowForCausalLM"]}, False
    )
