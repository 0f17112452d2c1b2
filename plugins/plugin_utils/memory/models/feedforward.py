# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The feed-forward part of each layer: dense, routed experts, shared experts, or none."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.models.fields import Fields
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.models.layer import Layer
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.models.numbers import number, whole
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.models.spellings import (
    DENSE_INTERMEDIATE,
    EXPERTS,
    HIDDEN,
    INTERMEDIATE,
    MOE_INTERMEDIATE,
    SHARED_EXPERTS,
    SHARED_INTERMEDIATE,
)

DENSE, SPARSE, ABSENT, EACH = "dense", "sparse", "absent", "each"
"""What follows the attention of a layer; ``each``: a dense part beside experts (Gemma 4)."""

TWO_MATRICES = frozenset(
    (
        *(
            "gpt2",
            "gptj",
            "gpt_neox",
            "gpt_bigcode",
            "starcoder2",
            "opt",
            "bloom",
            "mpt",
            "falcon",
            "phi",
            "persimmon",
            "codegen",
        ),
        *("nemotron", "nemotron_h", "whisper", "apertus", "arcee", "orion_moe", "RefinedWeb", "RefinedWebModel"),
    )
)
"""Families without a gate: up and down only. The others have three matrices."""
NO_FEED_FORWARD = frozenset(("mamba", "mamba2", "falcon_mamba"))
LATENT_EXPERTS = ("moe_latent_size", "routed_expert_hidden_size")
"""Width in which routed experts work, where it is not the model's (Nemotron 3 Super, Kimi K3)."""


@dataclass(frozen=True)
class FeedForward:
    """Widths, and which layers have what."""

    kinds: tuple[str, ...]
    intermediate: int = 0
    experts: int = 0
    moe_intermediate: int = 0
    shared_intermediate: int = 0
    """Width of all shared experts together."""
    matrices: int = 3
    latent: int = 0


def feed_forward(fields: Fields, layers: int, model_type: str) -> FeedForward:
    """Read the widths; ``layers``: how many layers there are."""
    hidden = fields.first(*HIDDEN)
    experts = fields.first(*EXPERTS)
    plain = fields.first(*INTERMEDIATE)
    moe = fields.first(*MOE_INTERMEDIATE) or (plain if experts else 0)
    dense = (fields.first(*DENSE_INTERMEDIATE) if experts else 0) or plain or _by_ratio(fields, hidden) or 4 * hidden
    if model_type.startswith("lfm2") and fields.raw("block_auto_adjust_ff_dim") is not False:
        dense = _adjusted(fields, dense) if "lfm2_moe" not in model_type else dense
    if model_type == "qwen":
        dense //= 2  # QWen counts both halves of the gated pair
    if not experts and model_type == "granitemoehybrid":
        dense = fields.first("shared_intermediate_size") or dense
    kinds = _kinds(fields, layers, experts, model_type)
    return FeedForward(
        kinds,
        intermediate=dense,
        experts=experts,
        moe_intermediate=moe,
        shared_intermediate=_shared(fields, moe, model_type) if experts else 0,
        matrices=2 if model_type in TWO_MATRICES or fields.text("mlp_hidden_act") == "relu2" else 3,
        latent=fields.first(*LATENT_EXPERTS) if experts else 0,
    )


def _by_ratio(fields: Fields, hidden: int) -> int:
    ratio = fields.fraction("expansion_ratio", "mlp_ratio")
    return int(hidden * ratio)


def _adjusted(fields: Fields, width: int) -> int:
    """LFM2 takes two thirds of the width, times a factor, rounded up to a multiple."""
    width = int(int(2 * width / 3) * (fields.fraction("block_ffn_dim_multiplier") or 1.0))
    step = fields.first("block_multiple_of") or 1
    return -(-width // step) * step


def _shared(fields: Fields, moe: int, model_type: str) -> int:
    if model_type.startswith("llama4"):
        return moe  # one, as wide as a routed one
    count = fields.first(*SHARED_EXPERTS)
    width = fields.first(*SHARED_INTERMEDIATE)
    each = model_type in ("nemotron_h", "bailing_moe", "bailing_moe_v2", "bailing_hybrid", "bailing_moe_linear")
    return width * max(1, count if each else 1) if width else count * moe


def _kinds(fields: Fields, layers: int, experts: int, model_type: str) -> tuple[str, ...]:
    if model_type in NO_FEED_FORWARD:
        return (ABSENT,) * layers
    pattern = fields.raw("hybrid_override_pattern")
    if model_type.startswith("nemotron_h"):
        listed = [letter for letter in str(pattern or "") if letter != "|"] or fields.items(
            "layers_block_type", "layer_types"
        )
        known = {"E": SPARSE, "moe": SPARSE, "-": DENSE, "mlp": DENSE}
        return tuple(known.get(str(kind), ABSENT) for kind in listed[:layers])
    if model_type == "zamba2":
        ids = fields.numbers("hybrid_layer_ids")
        return tuple(DENSE if index in ids else ABSENT for index in range(layers))
    if not experts:
        return (DENSE,) * layers
    if fields.flag("enable_moe_block"):
        return (EACH,) * layers
    return tuple(SPARSE if sparse else DENSE for sparse in sparse_layers(fields, layers))


def sparse_layers(fields: Fields, layers: int) -> list[bool]:
    """Which layers of a model with experts have them."""
    types = fields.items("mlp_layer_types")
    if len(types) >= layers > 0:
        return [str(kind) not in ("dense", "mlp") for kind in types[:layers]]
    listed = fields.items("moe_layers_enum", "moe_layers")
    if listed:
        numbers = {whole(item, -1) for item in listed}
        return [index in numbers for index in range(layers)]
    frequency = fields.items("moe_layer_freq")
    if frequency:
        return [index < len(frequency) and bool(frequency[index]) for index in range(layers)]
    step = fields.first("interleave_moe_layer_step")
    if step > 1:
        return [(index + 1) % step == 0 for index in range(layers)]
    period = fields.first("expert_layer_period")
    if period:
        offset = fields.first("expert_layer_offset")
        return [index % period == offset for index in range(layers)]
    if fields.raw("moe_layer_start_index", "moe_layer_interval") is not None:
        return _ernie(fields, layers)
    first = fields.first(
        "first_k_dense_replace", "num_dense_layers", "n_dense_layers", "moe_first_k_dense", "num_hidden_dense_layers"
    )
    only = set(fields.numbers("mlp_only_layers"))
    every, by = fields.first("moe_layer_freq", "decoder_sparse_step") or 1, fields.first("decoder_sparse_step") or 1
    return [
        index >= first and index not in only and ((index + 1) % by == 0 if by > 1 else index % every == 0)
        for index in range(layers)
    ]


def _ernie(fields: Fields, layers: int) -> list[bool]:
    start = min(fields.numbers("moe_layer_start_index") or [fields.first("moe_layer_start_index")])
    last = max(fields.numbers("moe_layer_end_index") or [whole(fields.raw("moe_layer_end_index"), layers)]) or layers
    every = fields.first("moe_layer_interval") or 1
    return [start <= index <= last and (index + 1) % every == 0 for index in range(layers)]


def with_feed_forward(fields: Fields, layers: list[Layer], parts: FeedForward) -> list[Layer]:
    """The layers with their parameters behind the attention."""
    hidden = fields.first(*HIDDEN)
    widths = fields.numbers("intermediate_size", "ffn_dims")
    ratios = [number(item) for item in fields.items("ffn_multipliers")]
    built = []
    for index, layer in enumerate(layers):
        kind = parts.kinds[index] if index < len(parts.kinds) else DENSE
        width = widths[index] if len(widths) == len(layers) else parts.intermediate
        if len(ratios) == len(layers):
            width = _multiple(int(ratios[index] * hidden), fields.first("ffn_dim_divisor") or 1)
        inner = parts.latent or hidden
        sparse = kind in (SPARSE, EACH)
        built.append(
            replace(
                layer,
                dense_parameters=parts.matrices * hidden * width * (kind in (DENSE, EACH))
                + 2 * hidden * parts.latent * sparse,
                router_parameters=parts.experts * hidden * sparse,
                expert_parameters=parts.experts * parts.matrices * inner * parts.moe_intermediate * sparse,
                shared_parameters=parts.matrices * hidden * parts.shared_intermediate * sparse,
            )
        )
    return built


def _multiple(width: int, step: int) -> int:
    """OpenELM: to the nearest multiple, and not more than a tenth below."""
    near = max(step, int(width + step / 2) // step * step)
    return near + step if near < 0.9 * width else near


def nas_width(entry: Any, hidden: int) -> int:
    """Width of a feed-forward block of Nemotron NAS: ``intermediate_size``, or ``ffn_mult`` of the hidden size."""
    if entry.get("no_op") is True:
        return 0
    if entry.get("replace_with_linear") is True:
        return -hidden  # one square matrix
    wide = whole(entry.get("intermediate_size"))
    return wide or -(-int(2 * number(entry.get("ffn_mult")) * hidden / 3) // 256) * 256
