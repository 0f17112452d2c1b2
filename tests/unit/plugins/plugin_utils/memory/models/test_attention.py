# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Heads of each layer in the words of families."""

from __future__ import annotations

from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.models.attention import (
    attentions,
    heads_of,
    indexed,
    row_of,
)
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.models.fields import Fields

BASE = {"hidden_size": 4096, "num_attention_heads": 32, "num_key_value_heads": 8}


def test_heads_and_their_widths() -> None:
    heads = heads_of(Fields({**BASE, "head_dim": 192, "v_head_dim": 128}))
    assert (heads.heads, heads.kv_heads, heads.key, heads.value) == (32, 8, 192, 128)
    assert heads_of(Fields({"hidden_size": 4096, "n_head": 32})).kv_heads == 32
    assert heads_of(Fields({"hidden_size": 4544, "n_head": 71, "multi_query": True}), "falcon").kv_heads == 1


def test_layers_with_a_window_may_have_heads_of_their_own() -> None:
    fields = Fields({**BASE, "sliding_window": 128, "swa_num_key_value_heads": 16, "swa_head_dim": 64})
    full, local = attentions(fields, ("full", "window"), "mimo_v2_flash")
    assert (full.kv_heads, full.values, local.kv_heads, local.values) == (8, 2048, 16, 2048)
    step = Fields({**BASE, "sliding_window": 512, "attention_other_setting": {"num_attention_groups": 4}})
    assert attentions(step, ("window",), "step3p5")[0].kv_heads == 4


def test_a_window_that_is_never_reached_is_none() -> None:
    fields = Fields({**BASE, "sliding_window": 32768, "max_position_embeddings": 32768})
    assert attentions(fields, ("window",), "mistral")[0].kind == "full"


def test_numbers_for_each_layer() -> None:
    fields = Fields({**BASE, "head_dim": 128, "num_query_heads": [12, 16], "num_kv_heads": [3, 4]})
    assert [(one.heads, one.kv_heads) for one in attentions(fields, ("full", "full"), "openelm")] == [(12, 3), (16, 4)]


def test_latent_attention_keeps_one_row() -> None:
    latent = {**BASE, "kv_lora_rank": 512, "qk_rope_head_dim": 64, "qk_nope_head_dim": 128, "v_head_dim": 128}
    assert row_of(Fields(latent), "deepseek_v3") == 576
    assert row_of(Fields({**latent, "use_mla": False}), "deepseek_v2") == 0
    assert row_of(Fields(latent), "minicpm3") == 0
    assert attentions(Fields(latent), ("full",), "deepseek_v3")[0].values == 576


def test_layers_without_an_indexer_of_their_own() -> None:
    layers = attentions(Fields(BASE), ("full",) * 6, "glm_moe_dsa")
    every = {"index_topk_freq": 4, "index_skip_topk_offset": 3}
    assert indexed(Fields(every), layers) == [True, True, True, False, False, False]
    assert indexed(Fields({"index_topk_pattern": "FSFSFS"}), layers) == [True, False] * 3
    assert indexed(Fields({"indexer_types": ["full", "shared"] * 3}), layers) == [True, False] * 3
    assert indexed(Fields({}), layers) == [True] * 6
