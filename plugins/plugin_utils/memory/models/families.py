# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Families whose layers no list and no period describes, and which model types are known at all.

Everything else comes from fields (`schedule`, `attention`, `feedforward`, `state`) and by the defaults of the published classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.models.attention import (
    attentions,
    blocks,
    heads_of,
    indexed,
)
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.models.feedforward import (
    FeedForward,
    nas_width,
    with_feed_forward,
)
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.models.fields import Fields
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.models.layer import (
    CROSS,
    FULL,
    NONE,
    WINDOW,
    Layer,
)
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.models.numbers import mapping, whole
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.models.schedule import per_block
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.models.spellings import HEADS, HIDDEN

REMOTE = frozenset(
    (
        *(
            "aquila",
            "ernie4_5_moe_vl",
            "baichuan",
            "bailing_hybrid",
            "bailing_moe",
            "bailing_moe_linear",
            "bailing_moe_v2",
            "chatglm",
            "deci",
            "decilm",
        ),
        *(
            "deepseek",
            "deepseek_vl_v2",
            "dots1",
            "dots_ocr",
            "exaone",
            "falcon_mamba",
            "glm4v",
            "grok",
            "grok-1",
            "h2ovl_chat",
        ),
        *(
            "hunyuan",
            "hunyuan_v1_moe",
            "internlm",
            "internlm2",
            "internlm3",
            "internvl_chat",
            "jais",
            "jet_nemotron",
            "kimi_k2",
        ),
        *(
            "kimi_linear",
            "kimi_vl",
            "llama_nemotron_vl",
            "longcat_flash",
            "mimo",
            "mimo_v2_flash",
            "minicpm",
            "minicpm3",
            "minicpmv",
        ),
        *(
            "minimax_m1",
            "minimax_m2",
            "minimax_text_01",
            "mistral",
            "molmo",
            "nemotron-nas",
            "nemotron_nas",
            "nvlm_d",
            "openelm",
        ),
        *(
            "orion",
            "ovis",
            "pangu",
            "phi3_v",
            "phi4flash",
            "phi4mm",
            "plamo",
            "plamo2",
            "plamo3",
            "qwen",
            "qwen3_next",
            "step1",
        ),
        *(
            "step3_text",
            "step3p5",
            "step3p7",
            "stablelm_epoch",
            "telechat",
            "telechat2",
            "teleflm",
            "xverse",
            "yuan",
            "zhinao",
        ),
        *(
            "minimax_m3",
            "deepseek_ref",
            "mimo_v2",
            "Yi",
            "skywork",
            "arctic",
            "phi3small",
            "mllama_text_model",
            "bailing_moe_v2_5",
        ),
    )
)
"""Model types that only exist as code beside the weights, and whose fields are read here."""


def family_known(model_type: str, top: Mapping[str, Any], has_class: bool) -> bool:
    """Whether the fields of this model type have a meaning here. A config without a type is read by its fields."""
    return has_class or model_type in REMOTE or (not model_type and not top.get("architectures"))


def special(fields: Fields, layers: int, model_type: str, parts: FeedForward) -> tuple[Layer, ...] | None:
    """The layers of a family that needs code of its own; None for the others."""
    for applies, build in SPECIAL:
        if applies(fields, model_type):
            return build(fields, layers, model_type, parts)
    return None


def _nas(fields: Fields, layers: int, model_type: str, _parts: FeedForward) -> tuple[Layer, ...]:
    """Nemotron NAS: ``block_configs`` has the heads of each layer, and drops attention or feed-forward where it has no_op."""
    hidden, built = fields.first(*HIDDEN), []
    for heads, feed in blocks(fields, heads_of(fields, model_type))[:layers]:
        width = nas_width(feed, hidden)
        dense = 3 * hidden * width if width >= 0 else hidden * hidden
        if heads is None:
            built.append(Layer(NONE, dense_parameters=dense))
            continue
        weights = hidden * heads.heads * 2 * heads.key + 2 * hidden * heads.kv_heads * heads.key
        built.append(
            Layer(
                FULL,
                heads.heads,
                heads.kv_heads,
                heads.key,
                heads.value,
                attention_parameters=weights,
                dense_parameters=dense,
            )
        )
    return tuple(built)


def _double(fields: Fields, layers: int, model_type: str, parts: FeedForward) -> tuple[Layer, ...]:
    """LongCat-Flash: two attentions, two dense parts and one set of experts in each layer."""
    hidden = fields.first(*HIDDEN)
    dense = 3 * hidden * (fields.first("ffn_hidden_size", "intermediate_size") or parts.intermediate)
    width = fields.first("expert_ffn_hidden_size", "moe_intermediate_size")
    built = []
    for index, layer in enumerate(attentions(fields, (FULL,) * (2 * layers), model_type)):
        sparse = index % 2 == 0
        built.append(
            replace(
                layer,
                dense_parameters=dense,
                router_parameters=(parts.experts + fields.first("zero_expert_num")) * hidden * sparse,
                expert_parameters=parts.experts * 3 * hidden * width * sparse,
            )
        )
    return tuple(built)


def _compressed(fields: Fields, layers: int, model_type: str, parts: FeedForward) -> tuple[Layer, ...]:
    """DeepSeek V4: every layer keeps a window; most keep a row for each 4 or 128 tokens besides, those of 4 with an indexer.

    vllm/models/deepseek_v4/attention.py (0.32): ``compress_ratios``; transformers' class has the same in ``layer_types``.
    """
    hidden, heads, width = fields.first(*HIDDEN), fields.first(*HEADS), fields.first("head_dim") or 512
    window, through = fields.first("sliding_window") or 128, fields.first("q_lora_rank")
    groups, narrow = fields.first("o_groups") or 1, fields.first("o_lora_rank")
    ratios = fields.numbers("compress_ratios")
    if not ratios:
        named = {"compressed_sparse_attention": 4, "heavily_compressed_attention": 128}
        ratios = [named.get(str(kind), 0) for kind in fields.items("layer_types")]
    if not ratios:  # the class's default: two of 128, then 4 and 128 in turn
        ratios = [128 if index < 2 or index % 2 else 4 for index in range(layers)]
    built = []
    for ratio in ratios[:layers]:
        weights = through * (hidden + heads * width) + hidden * width
        weights += heads * width * narrow + groups * narrow * hidden
        index = fields.first("index_head_dim") if ratio == 4 else 0
        if ratio > 1:
            weights += 2 * hidden * width * (2 if ratio == 4 else 1)
        if index:
            sides = fields.first("index_n_heads")
            weights += through * sides * index + hidden * sides + 4 * hidden * index
        kind = FULL if ratio > 1 else WINDOW
        built.append(
            Layer(
                kind,
                heads,
                1,
                width,
                width,
                row=width,
                ratio=max(1, ratio),
                index=index,
                span=window,
                tail=width if ratio > 1 else 0,
                attention_parameters=weights,
                replicated_parameters=hidden * (through + width),
            )
        )
    return tuple(with_feed_forward(fields, built, parts))


def _indexed_rows(fields: Fields, layers: int, model_type: str, parts: FeedForward) -> tuple[Layer, ...] | None:
    """Latent attention with an indexer that some layers share: DeepSeek V3.2, GLM-5."""
    built = attentions(fields, (FULL,) * layers, model_type)
    own = indexed(fields, built)
    extra = fields.first("q_lora_rank") * fields.first("index_n_heads") * fields.first("index_head_dim")
    extra += fields.first(*HIDDEN) * (fields.first("index_head_dim") + fields.first("index_n_heads"))
    built = [
        layer if keeps else replace(layer, index=0, attention_parameters=layer.attention_parameters - extra)
        for layer, keeps in zip(built, own, strict=True)
    ]
    return tuple(with_feed_forward(fields, built, parts))


def _block_sparse(fields: Fields, layers: int, model_type: str, parts: FeedForward) -> tuple[Layer, ...]:
    """MiniMax M3: whole KV in every layer, and the key of an indexer in those of ``sparse_attention_freq``."""
    inner = fields.below("sparse_attention_config")
    which, width = inner.numbers("sparse_attention_freq"), inner.first("sparse_index_dim")
    types = fields.items("layer_types")
    width = width or fields.first("index_head_dim")
    which = which or [int("sparse" in str(kind)) for kind in types] or [1] * layers
    built = [
        replace(layer, index=width if index < len(which) and which[index] else 0)
        for index, layer in enumerate(attentions(fields, (FULL,) * layers, model_type))
    ]
    return tuple(with_feed_forward(fields, built, parts))


def _encoder_decoder(fields: Fields, layers: int, model_type: str, parts: FeedForward) -> tuple[Layer, ...]:
    """Whisper: each decoder layer keeps its own KV, and that of the encoder's output once per request."""
    span, hidden = fields.first("max_source_positions") or 1500, fields.first(*HIDDEN)
    built = [
        replace(
            layer, tail=layer.values, span=span, attention_parameters=layer.attention_parameters + 4 * hidden * hidden
        )
        for layer in attentions(fields, (FULL,) * layers, model_type)
    ]
    return tuple(with_feed_forward(fields, built, parts))


def _images(fields: Fields, layers: int, model_type: str, parts: FeedForward) -> tuple[Layer, ...]:
    """Llama 3.2 Vision: some layers attend to the image only, at most four tiles of 1601 patches."""
    ids = fields.numbers("cross_attention_layers")
    built = [
        replace(layer, kind=CROSS, span=4 * 1601) if index in ids else layer
        for index, layer in enumerate(attentions(fields, (FULL,) * layers, model_type))
    ]
    return tuple(with_feed_forward(fields, built, parts))


Applies = Callable[[Fields, str], bool]
Build = Callable[[Fields, int, str, FeedForward], "tuple[Layer, ...] | None"]
SPECIAL: tuple[tuple[Applies, Build], ...] = (
    (lambda fields, kind: per_block(fields.items("block_configs")) and "nemotron_h" not in kind, _nas),
    (lambda _fields, kind: kind.startswith("longcat"), _double),
    (
        lambda fields, kind: kind.startswith(("deepseek_v4", "deepseek_ref")) or bool(fields.items("compress_ratios")),
        _compressed,
    ),
    (
        lambda fields, _kind: bool(
            fields.first("kv_lora_rank") and fields.first("index_head_dim") and not _mixed(fields)
        ),
        _indexed_rows,
    ),
    (
        lambda fields, kind: kind.startswith("minimax_m3") or bool(mapping(fields.raw("sparse_attention_config"))),
        _block_sparse,
    ),
    (lambda _fields, kind: kind == "whisper", _encoder_decoder),
    (lambda fields, _kind: bool(fields.numbers("cross_attention_layers")), _images),
)


def _mixed(fields: Fields) -> bool:
    """Layers of several kinds: their list tells, not the indexer."""
    return (
        len({str(kind) for kind in fields.items("layer_types")}) > 1 or whole(fields.raw("linear_num_value_heads")) > 0
    )
