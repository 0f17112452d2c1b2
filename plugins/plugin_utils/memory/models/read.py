# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a config.json to a list of layers: finds the language part, its class's defaults, and builds each layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.models.attention import (
    Heads,
    attentions,
    heads_of,
)
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.models.defaults import defaults, text_type
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.models.families import family_known, special
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.models.feedforward import (
    FeedForward,
    feed_forward,
    with_feed_forward,
)
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.models.fields import Fields
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.models.layer import FULL, NONE, Layer
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.models.numbers import mapping
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.models.schedule import (
    BOTH,
    STATE,
    Schedule,
    cross_layer,
    schedule,
    shared_tail,
)
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.models.spellings import (
    CONTEXT,
    EXPERTS_PER_TOKEN,
    HIDDEN,
    LAYERS,
    MTP_LAYERS,
    VOCAB,
)
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.models.state import state
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.models.towers import TOWERS, tower_parameters

TEXT_CONFIGS = (
    "text_config",
    "llm_config",
    "language_config",
    "thinker_config",
    "lm_config",
    "text_model_config",
    "decoder_config",
)
"""Where a vision, audio or omni model keeps the config of its language model."""
FLATTENED = ("attn_config", "ffn_config", "moe", "ssm_cfg")
"""Groups whose fields belong to the model itself: DBRX, Mistral's params.json."""
MOST_LAYERS = 4096
FLOAT32 = ("float32", "torch.float32", "fp32")


@dataclass(frozen=True)
class Reading:
    """What a config.json has, before anything is counted."""

    top: Mapping[str, Any]
    fields: Fields
    model_type: str = ""
    nested: str = ""
    known: bool = True
    schedule: Schedule = field(default_factory=lambda: Schedule(()))
    heads: Heads = field(default_factory=Heads)
    feed_forward: FeedForward = field(default_factory=lambda: FeedForward(()))
    stack: tuple[Layer, ...] = ()
    mtp: tuple[Layer, ...] = ()
    hidden: int = 0
    vocab: int = 0
    context: int = 0
    experts_per_token: int = 0
    tied: bool = False
    dtype_bytes: int = 2
    vision: bool = False
    tower_parameters: int = 0
    other_parameters: int = 0


def read(config: Any) -> Reading:
    """Read ``config`` (the content of config.json or of Mistral's params.json)."""
    top = mapping(config)
    text, nested, model_type = _language_part(top)
    fields = Fields(text, defaults(model_type))
    layers = min(fields.first(*LAYERS), MOST_LAYERS)
    pattern = (
        fields.raw("hybrid_override_pattern", "layers_block_type") if not layers or model_type == "nemotron_h" else None
    )
    layers = (
        layers
        if not pattern
        else min(len(str(pattern).replace("|", "") if isinstance(pattern, str) else list(pattern)), MOST_LAYERS)
    )
    kinds = schedule(fields, layers, model_type)
    named = shared_tail(kinds.kinds, fields.first("num_kv_shared_layers"))
    if fields.flag("use_cla"):
        named = cross_layer(named, fields.first("cla_share_factor"))
    parts = feed_forward(fields, layers, model_type)
    own = special(fields, layers, model_type, parts)
    stack = own if own is not None else _stack(fields, named, parts, model_type)
    if model_type == "zamba2":
        stack = _shared_blocks(stack, fields.first("num_mem_blocks") or 1)
    dtype = str(text.get("dtype") or text.get("torch_dtype") or top.get("dtype") or top.get("torch_dtype"))
    return Reading(
        top=top,
        fields=fields,
        model_type=model_type,
        nested=nested,
        known=family_known(model_type, top, bool(fields.defaults)),
        schedule=kinds,
        heads=heads_of(fields, model_type),
        feed_forward=parts,
        stack=stack,
        mtp=_mtp(fields, stack),
        hidden=fields.first(*HIDDEN),
        vocab=fields.first(*VOCAB),
        context=fields.first(*CONTEXT),
        experts_per_token=fields.first(*EXPERTS_PER_TOKEN),
        tied=_tied(top, text, fields),
        dtype_bytes=4 if dtype in FLOAT32 else 2,
        vision=any(mapping(top.get(name)) for name in TOWERS),
        tower_parameters=tower_parameters(top, model_type),
        other_parameters=_others(fields, layers),
    )


def _language_part(top: Mapping[str, Any]) -> tuple[dict[str, Any], str, str]:
    """The fields of the language model, where they lie (empty: at the top), and its model type."""
    text: Mapping[str, Any] = top
    nested, model_type = "", str(top.get("model_type") or "")
    for _depth in range(3):
        key = next((name for name in TEXT_CONFIGS if mapping(text.get(name))), "")
        if not key and not nested and not any(name in top for name in LAYERS):
            key = next((name for name, value in top.items() if _is_language(value)), "")
        if not key:
            break
        inner = mapping(text.get(key))
        model_type = str(inner.get("model_type") or text_type(model_type))
        text, nested = inner, nested or key
    if not nested:
        model_type = text_type(model_type)
    model_type = model_type or ("llama" if "n_layers" in text and "dim" in text else "")
    around = {name: value for name, value in top.items() if not isinstance(value, Mapping)} if nested else {}
    around.pop("model_type", None)
    flat = {name: value for group in FLATTENED for name, value in mapping(text.get(group)).items()}
    apart = {name for name in FLATTENED if mapping(text.get(name))}
    around = {name: value for name, value in around.items() if name not in text}
    return {**around, **flat, **{name: value for name, value in text.items() if name not in apart}}, nested, model_type


def _is_language(value: Any) -> bool:
    inner = mapping(value)
    return "vocab_size" in inner and any(name in inner for name in LAYERS)


def _stack(fields: Fields, kinds: tuple[str, ...], parts: FeedForward, model_type: str) -> tuple[Layer, ...]:
    attends = tuple(FULL if kind == BOTH else NONE if kind == STATE else kind for kind in kinds)
    layers = attentions(fields, attends, model_type)
    if any(kind in (STATE, BOTH) for kind in kinds):
        own = state(fields)
        layers = [
            replace(layer, state=own) if kind in (STATE, BOTH) else layer
            for layer, kind in zip(layers, kinds, strict=True)
        ]
    return tuple(with_feed_forward(fields, layers, parts))


def _shared_blocks(stack: tuple[Layer, ...], blocks: int) -> tuple[Layer, ...]:
    """Zamba2: a few blocks of attention and feed-forward serve all hybrid layers in turn; each layer has KV of its own."""
    seen, built = 0, []
    for layer in stack:
        seen += layer.grows
        again = layer.grows and seen > blocks
        built.append(replace(layer, attention_parameters=0, dense_parameters=0) if again else layer)
    return tuple(built)


def _mtp(fields: Fields, stack: tuple[Layer, ...]) -> tuple[Layer, ...]:
    """Layers for multi token prediction; each is like the last one that attends, with experts where the model has some."""
    count = min(len(stack), fields.first(*MTP_LAYERS))
    attends = [layer for layer in stack if layer.heads]
    if not count or not attends:
        return ()
    last = max(attends, key=lambda layer: (layer.expert_parameters > 0, layer.grows))
    if (
        not last.expert_parameters and not last.dense_parameters
    ):  # Nemotron-H: attention and experts are layers of their own
        experts = max(stack, key=lambda layer: layer.expert_parameters)
        last = replace(
            last,
            router_parameters=experts.router_parameters,
            expert_parameters=experts.expert_parameters,
            shared_parameters=experts.shared_parameters,
            dense_parameters=experts.dense_parameters,
        )
    return (last,) * count


def _tied(top: Mapping[str, Any], text: Mapping[str, Any], fields: Fields) -> bool:
    """Whether the output head is the token embedding; the text part's word counts before the model's."""
    for names in (text, top):
        for name in ("tie_word_embeddings", "tie_embedding", "share_input_output_layers"):
            if isinstance(names.get(name), bool):
                return bool(names[name])
    return fields.flag("tie_word_embeddings")


def _others(fields: Fields, layers: int) -> int:
    """Per-layer embeddings of Gemma 3n and 4."""
    width = fields.first("hidden_size_per_layer_input")
    words = fields.first("vocab_size_per_layer_input") or fields.first(*VOCAB)
    hidden = fields.first(*HIDDEN)
    return layers * width * (words + 3 * hidden) if width else 0
