# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The attention of each layer: heads, widths, what it keeps, how many parameters it has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.models.fields import Fields
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.models.layer import (
    CHUNK,
    CROSS,
    FULL,
    LOCAL,
    SHARED,
    WINDOW,
    Layer,
)
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.models.numbers import mapping, whole
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.models.schedule import window_of
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.models.spellings import (
    CONTEXT,
    HEAD_DIM,
    HEADS,
    HIDDEN,
    KV_HEADS,
)

GATED = ("attn_output_gate", "attention_output_gate", "use_output_gate", "mla_use_output_gate", "gated_attention")
WHOLE_HEADS = ("minicpm3",)
"""Latent attention in name: vLLM keeps whole heads (minicpm3.py); SGLang keeps the row."""
ONE_KV_HEAD = ("falcon", "refinedwebmodel", "gpt_bigcode")
"""``multi_query`` without a count of KV heads means one."""


@dataclass(frozen=True)
class Heads:
    """Heads and their widths."""

    heads: int = 0
    kv_heads: int = 0
    key: int = 0
    value: int = 0


def heads_of(fields: Fields, model_type: str = "") -> Heads:
    """The heads of a layer of full attention."""
    heads, hidden = fields.first(*HEADS), fields.first(*HIDDEN)
    kv_heads = fields.first(*KV_HEADS) or heads
    if model_type.startswith(ONE_KV_HEAD) and _multi_query(fields):
        kv_heads = 1
    key = fields.first(*HEAD_DIM) or (hidden // heads if heads else 0)
    if model_type == "zamba2":  # the shared block reads the hidden states and the embeddings, side by side
        key = 2 * hidden // heads if heads else 0
    return Heads(heads, kv_heads, key, fields.first("v_head_dim") or key)


def _multi_query(fields: Fields) -> bool:
    return fields.flag("multi_query") and not fields.flag("new_decoder_architecture")


def _sliding(fields: Fields, full: Heads) -> Heads:
    """Layers with a window may have heads of their own: MiMo V2, Step 3.5."""
    other = fields.below("attention_other_setting")
    heads = fields.first("swa_num_attention_heads", "num_sliding_attention_heads") or other.first(*HEADS) or full.heads
    kv_heads = fields.first("swa_num_key_value_heads") or other.first(*KV_HEADS) or full.kv_heads
    key = fields.first("swa_head_dim") or other.first(*HEAD_DIM) or full.key
    value = fields.first("swa_v_head_dim") or (full.value if key == full.key else key)
    return Heads(heads, kv_heads, key, value)


def _global(fields: Fields, full: Heads, model_type: str) -> Heads:
    """Gemma 4: full layers have wider and fewer KV heads than those with a window."""
    if not model_type.startswith(("gemma4", "diffusion_gemma")):
        return full
    key = fields.first("global_head_dim") or full.key
    few = fields.first("num_global_key_value_heads") if fields.raw("attention_k_eq_v") is not False else 0
    return Heads(full.heads, few or full.kv_heads, key, key)


def row_of(fields: Fields, model_type: str) -> int:
    """Width of the row that latent attention keeps; 0 when each head keeps its own."""
    lora = fields.first("kv_lora_rank")
    if not lora or fields.raw("use_mla") is False or model_type in WHOLE_HEADS:
        return 0
    return lora + fields.first("qk_rope_head_dim")


def attentions(fields: Fields, kinds: tuple[str, ...], model_type: str) -> list[Layer]:
    """Each layer with its attention; ``kinds`` as `layer` names them."""
    full = heads_of(fields, model_type)
    window, context = window_of(fields), fields.first(*CONTEXT)
    chunk = fields.first("attention_chunk_size", "attn_chunk_size")
    sliding, wide = _sliding(fields, full), _global(fields, full, model_type)
    row = row_of(fields, model_type)
    built = []
    for index, named in enumerate(kinds):
        kind, span = named, window if named == WINDOW else chunk if named == CHUNK else 0
        if kind in LOCAL and (not span or (context and span >= context)):
            kind, span = FULL, 0  # never reached, or not limited at all
        if kind not in (FULL, SHARED, CROSS, *LOCAL):
            built.append(Layer(kind))
            continue
        one = sliding if named == WINDOW else wide if kind == FULL else full
        one = _own(fields, one, index, len(kinds))
        latent = row if kind in (FULL, SHARED) or not window else 0
        if latent:
            built.append(_latent(fields, kind, one, latent, span))
        else:
            built.append(_whole_heads(fields, kind, one, span, model_type))
    return built


def _own(fields: Fields, one: Heads, index: int, layers: int) -> Heads:
    """Lists with a number for each layer (OpenELM; Solar; pruned models)."""
    many = fields.numbers("num_query_heads", "num_attention_heads_per_layer")
    few = fields.numbers("num_kv_heads", "num_key_value_heads_per_layer", "num_key_value_heads")
    heads = many[index] if len(many) == layers else one.heads
    kv_heads = few[index] if len(few) == layers else one.kv_heads
    return Heads(heads, kv_heads, one.key, one.value)


def _whole_heads(fields: Fields, kind: str, one: Heads, span: int, model_type: str) -> Layer:
    hidden = fields.first(*HIDDEN)
    entering = 2 * hidden if model_type == "zamba2" else hidden
    query = entering * one.heads * one.key * (2 if any(fields.flag(name) for name in GATED) else 1)
    keys = entering * one.kv_heads * (one.key + one.value) * (kind != SHARED)
    out = one.heads * one.value * hidden
    parameters = query + keys + out
    if model_type in WHOLE_HEADS:  # the projections stay those of latent attention
        parameters = _latent(
            fields, kind, one, fields.first("kv_lora_rank") + fields.first("qk_rope_head_dim"), 0
        ).attention_parameters
        wide = fields.first("qk_nope_head_dim") + fields.first("qk_rope_head_dim")
        one = Heads(one.heads, one.heads, wide, wide)
    return Layer(kind, one.heads, one.kv_heads, one.key, one.value, span=span, attention_parameters=parameters)


def _latent(fields: Fields, kind: str, one: Heads, row: int, span: int) -> Layer:
    hidden, lora = fields.first(*HIDDEN), fields.first("kv_lora_rank")
    rope, plain = fields.first("qk_rope_head_dim"), fields.first("qk_nope_head_dim")
    key = plain + rope or one.key
    value = fields.first("v_head_dim") or plain or key
    through = fields.first("q_lora_rank")
    query = through * (hidden + one.heads * key) or hidden * one.heads * key
    parameters = query + hidden * row + lora * one.heads * (key - rope + value) + one.heads * value * hidden
    if any(fields.flag(name) for name in GATED):
        parameters += hidden * one.heads * value
    index = fields.first("index_head_dim")
    if index:
        sides = fields.first("index_n_heads")
        parameters += through * sides * index + hidden * (index + sides)
    return Layer(
        kind,
        one.heads,
        1,
        key,
        value,
        row=row,
        index=index,
        span=span,
        attention_parameters=parameters,
        replicated_parameters=hidden * (through + row),
    )


def indexed(fields: Fields, layers: list[Layer]) -> list[bool]:
    """Which layers keep the key of an indexer: all, or those that do not use an earlier one's choice (GLM-5.2).

    ``indexer_types``, ``index_topk_pattern`` (S uses an earlier one) or ``index_topk_freq``: vllm/models/deepseek_v32.
    """
    count = len(layers)
    types, pattern = fields.items("indexer_types"), fields.raw("index_topk_pattern")
    if len(types) >= count:
        return [str(kind) == "full" for kind in types[:count]]
    if isinstance(pattern, str) and len(pattern) >= count:
        return [letter != "S" for letter in pattern[:count]]
    every, offset = fields.first("index_topk_freq") or 1, fields.raw("index_skip_topk_offset")
    start = whole(offset, 2)
    return [max(index - start + 1, 0) % every == 0 for index in range(count)]


def blocks(fields: Fields, full: Heads) -> list[tuple[Heads | None, Any]]:
    """``block_configs`` of Nemotron NAS: the heads of each layer, None where it has no attention; and its feed-forward entry."""
    found: list[tuple[Heads | None, Any]] = []
    for entry in fields.items("block_configs"):
        block = mapping(entry)
        attention = mapping(block.get("attention"))
        group = whole(attention.get("n_heads_in_group"))
        kv_heads = whole(attention.get("num_key_value_heads")) or (full.heads // group if group else 0)
        gone = attention.get("no_op") is True or attention.get("replace_with_linear") is True or not kv_heads
        found.append((None if gone else Heads(full.heads, kv_heads, full.key, full.value), mapping(block.get("ffn"))))
    return found
