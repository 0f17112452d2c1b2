# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which kind each layer is of: from a list in config.json, from a period, or from what the published class derives.

Sources: the configuration classes of transformers 5.19 (``__post_init__`` where they derive ``layer_types``), and the models of
vLLM 0.32 and SGLang 0.5.23 where a class keeps the list in words of its own. A test compares with vLLM's own cache specification.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.models.fields import Fields
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.models.layer import (
    CHUNK,
    CROSS,
    FULL,
    NONE,
    SHARED,
    WINDOW,
)
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.models.spellings import (
    CONTEXT,
    KINDS,
    LAYER_TYPES,
)
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.models.spellings import WINDOW as WINDOW_SIZE

STATE, BOTH = "state", "both"
"""A layer with a state alone, and one with attention and a state."""

NEMOTRON = {"M": STATE, "*": FULL, "-": NONE, "E": NONE}
"""``hybrid_override_pattern`` of Nemotron-H."""


@dataclass(frozen=True)
class Period:
    """Each ``every``-th layer is ``kind`` where config.json has no list. ``first``: the first of each group, not the last."""

    every: int
    others: str = WINDOW
    first: bool = False
    last_full: bool = False
    fields: tuple[str, ...] = ()
    """Fields that hold the period."""

    def kinds(self, fields: Fields, layers: int) -> list[str]:
        """The kind of each layer."""
        every = fields.first(*self.fields) or self.every
        place = 0 if self.first else every - 1
        kinds = [FULL if index % every == place else self.others for index in range(layers)]
        if self.last_full and kinds:
            kinds[-1] = FULL
        return kinds


PERIODS: Mapping[str, Period] = {
    # model type of the text part → what its class derives when ``layer_types`` is not written
    **dict.fromkeys(
        ("gemma2", "vaultgemma", "gpt_oss", "t5_gemma_module"), Period(2, fields=("sliding_window_pattern",))
    ),
    **dict.fromkeys(
        ("gemma3_text", "gemma3", "t5gemma2_text", "t5gemma2_decoder"), Period(6, fields=("sliding_window_pattern",))
    ),
    "gemma3n_text": Period(5, fields=("sliding_window_pattern",)),
    "gemma3n": Period(5),
    **dict.fromkeys(
        ("gemma4_text", "gemma4", "gemma4_unified_text", "diffusion_gemma_text", "embedding_gemma2_text"),
        Period(6, last_full=True),
    ),
    **dict.fromkeys(("cohere2", "cohere2_moe"), Period(4, fields=("sliding_window_pattern",))),
    "afmoe": Period(4, fields=("global_attn_every_n_layers",)),
    "olmo3": Period(4),
    **dict.fromkeys(("exaone4", "exaone_moe"), Period(4, fields=("sliding_window_pattern",))),
    **dict.fromkeys(("cwm", "granite_swa", "granitemoe_swa"), Period(4, first=True)),
    **dict.fromkeys(("muse_glimmer_text", "muse_glimmer"), Period(4)),
    **dict.fromkeys(("mimo_v2_flash",), Period(6, first=True)),
    **dict.fromkeys(("llama4_text", "llama4"), Period(4, CHUNK, fields=("no_rope_layer_interval",))),
    **dict.fromkeys(
        ("qwen3_next", "qwen3_5", "qwen3_5_text", "qwen3_5_moe", "qwen3_5_moe_text", "olmo_hybrid", "qwen4_exp_text"),
        Period(4, STATE, fields=("full_attention_interval",)),
    ),
    **dict.fromkeys(("glm5_next_text", "kimi_linear"), Period(4, STATE)),
    "minimax": Period(2, STATE, first=True),
}

ALL: Mapping[str, str] = {
    "falcon_h1": BOTH,
    **dict.fromkeys(("mamba", "mamba2", "falcon_mamba", "rwkv", "granitemoehybrid"), STATE),
}
"""Families whose layers are all of one kind unless a list has other kinds."""


ALWAYS_LOCAL = ("recurrent_gemma",)
"""What the list calls attention has a window in these families."""


@dataclass(frozen=True)
class Schedule:
    """The kind of each layer, in order, with the field that it comes from and names that have no meaning here."""

    kinds: tuple[str, ...]
    source: str = ""
    unknown: tuple[str, ...] = ()


def schedule(fields: Fields, layers: int, model_type: str) -> Schedule:
    """The kinds of ``layers`` layers. Without any field that tells, all of them are full or, with a window, all have it."""
    fields.read.update(NAMES)
    for source, reader in READERS:
        found = reader(fields, layers)
        if found and model_type in ALWAYS_LOCAL:
            found = [WINDOW if KINDS.get(str(kind)) == FULL else kind for kind in found]
        if found:
            return _padded(found, layers, source)
    if model_type in ALL:
        return Schedule((ALL[model_type],) * layers, model_type)
    period = PERIODS.get(model_type) or _written_period(fields)
    if period and (period.others != WINDOW or _slides(fields)):
        return Schedule(tuple(period.kinds(fields, layers)), f"default of {model_type}")
    return _uniform(fields, layers)


def _written_period(fields: Fields) -> Period | None:
    """A family that is in no table writes its period as a number, as Gemma 3 and Cohere 2 do."""
    every = fields.first("sliding_window_pattern")
    return Period(every) if every > 1 else None


def window_of(fields: Fields) -> int:
    """Tokens of the window, 0 when there is none."""
    size = fields.first(*WINDOW_SIZE) or fields.below("efficient_attention_config").below("swa").first("window_size")
    return size if fields.raw("use_sliding_window") is not False else 0


def _slides(fields: Fields) -> bool:
    return window_of(fields) > 0


def _padded(found: list[str], layers: int, source: str) -> Schedule:
    """Lists of multi token prediction models are longer than the model (Step 3.5); a shorter one repeats."""
    named = [str(kind).lower() for kind in found]
    kinds = [KINDS.get(name, name) if name not in (FULL, CROSS, SHARED, NONE) else name for name in named]
    known = {FULL, WINDOW, CHUNK, CROSS, SHARED, NONE, STATE, BOTH}
    strange = tuple(dict.fromkeys(kind for kind in kinds if kind not in known))
    kinds = [kind if kind in known else FULL for kind in kinds]
    repeated = [kinds[index % len(kinds)] for index in range(layers)]
    return Schedule(tuple(repeated), source, strange)


def _uniform(fields: Fields, layers: int) -> Schedule:
    """One kind for all: a window that is smaller than the context, unless it was turned off (Qwen2: only from a layer on)."""
    window, context, start = window_of(fields), fields.first(*CONTEXT), fields.first("max_window_layers")
    if not window or (context and window >= context):
        return Schedule((FULL,) * layers)
    start = start if fields.flag("use_sliding_window") else 0
    return Schedule((FULL,) * min(start, layers) + (WINDOW,) * max(0, layers - start), "sliding_window")


def _layer_types(fields: Fields, _layers: int) -> list[str]:
    return [str(item) for item in fields.items(*LAYER_TYPES)]


def _nemotron(fields: Fields, _layers: int) -> list[str]:
    """``MEM*``; a model has as many layers as the pattern has letters."""
    return [
        NEMOTRON.get(letter, letter) for letter in str(fields.raw("hybrid_override_pattern") or "") if letter != "|"
    ]


def _letters(fields: Fields, layers: int) -> list[str]:
    """EXAONE 4 and Granite write a period as ``LLLG``, L for local."""
    pattern = fields.raw("sliding_window_pattern")
    if not isinstance(pattern, str) or not pattern or not set(pattern) <= set("LG") or not _slides(fields):
        return []
    kinds = [WINDOW if pattern[index % len(pattern)] == "L" else FULL for index in range(layers)]
    return [*kinds[:-1], FULL]


def _pattern_list(fields: Fields, _layers: int) -> list[str]:
    """MiMo V2: 1 slides, 0 is full."""
    return [WINDOW if item else FULL for item in fields.items("hybrid_layer_pattern")]


def _interleaved(fields: Fields, _layers: int) -> list[str]:
    """PLaMo 3: the window of each layer, null where it has none."""
    return [WINDOW if item else FULL for item in fields.items("interleaved_sliding_window")]


def _local_ids(fields: Fields, layers: int) -> list[str]:
    """Inkling: the numbers of the layers that slide."""
    local = fields.numbers("local_layer_ids")
    return [WINDOW if index in local else FULL for index in range(layers)] if local else []


def _kimi(fields: Fields, layers: int) -> list[str]:
    """``linear_attn_config`` of Kimi Linear, with numbers from 1."""
    inner = fields.below("linear_attn_config")
    linear, full = inner.numbers("kda_layers"), inner.numbers("full_attn_layers")
    if not linear and not full:
        return []
    return [FULL if index + 1 in full or (not full and index + 1 not in linear) else STATE for index in range(layers)]


def _minimax(fields: Fields, _layers: int) -> list[str]:
    """MiniMax-01 and M1: 0 is lightning attention, 1 is full."""
    return [FULL if item else STATE for item in fields.items("attn_type_list", "layer_attn_types")]


def _jamba(fields: Fields, layers: int) -> list[str]:
    period, offset = fields.first("attn_layer_period"), fields.first("attn_layer_offset")
    return [FULL if index % period == offset % period else STATE for index in range(layers)] if period else []


def _attention_indices(fields: Fields, layers: int) -> list[str]:
    """Bamba and others: the numbers of the layers that attend, the others are Mamba. LFM2's others are convolutions."""
    indices = fields.raw("attn_layer_indices", "full_attn_idxs", "attn_layer_idx")
    if not isinstance(indices, list):
        return []
    return [FULL if index in indices else STATE for index in range(layers)]


def _hybrid_ids(fields: Fields, layers: int) -> list[str]:
    """Zamba2: every layer is Mamba2, and these attend as well."""
    ids = fields.numbers("hybrid_layer_ids")
    return [BOTH if index in ids else STATE for index in range(layers)] if ids else []


def _interval(fields: Fields, layers: int) -> list[str]:
    """Qwen3-Next: each n-th layer is full attention, the others DeltaNet."""
    every = fields.first("full_attention_interval")
    return [FULL if (index + 1) % every == 0 else STATE for index in range(layers)] if every > 1 else []


def _groups(fields: Fields, layers: int) -> list[str]:
    """Ling and Ring linear: the last layer of each group is full, and so are layers beyond the last whole group."""
    size = fields.first("layer_group_size")
    if size < 2:
        return []
    whole_groups = layers // size * size
    return [FULL if (index + 1) % size == 0 or index >= whole_groups else STATE for index in range(layers)]


def _plamo(fields: Fields, layers: int) -> list[str]:
    """PLaMo 2: Mamba but for the middle layer of each step, which slides unless it is listed as full."""
    step = fields.first("mamba_step")
    if not step or fields.raw("mamba_enabled") is False:
        return []
    if layers <= step // 2:
        mamba = [index != layers - 1 for index in range(layers)]
    else:
        mamba = [index % step != step // 2 for index in range(layers)]
    full = fields.numbers("full_attention_idx")
    attends = WINDOW if fields.first("attention_window_size") else FULL
    return [STATE if is_mamba else (FULL if index in full else attends) for index, is_mamba in enumerate(mamba)]


def _rope_layers(fields: Fields, layers: int) -> list[str]:
    """Llama 4: layers with RoPE attend inside chunks, those without to everything."""
    flags = fields.items("no_rope_layers")
    chunk = fields.first("attention_chunk_size")
    if not flags or not chunk:
        return []
    return [CHUNK if index < len(flags) and flags[index] else FULL for index in range(layers)]


def _cross(fields: Fields, layers: int) -> list[str]:
    """Llama 3.2 Vision: these layers attend to the image only."""
    ids = fields.numbers("cross_attention_layers")
    return [CROSS if index in ids else FULL for index in range(layers)] if ids else []


def _phi4_flash(fields: Fields, layers: int) -> list[str]:
    """Phi-4-mini-flash: Mamba and windows in turn up to the middle, one full layer, then layers that share its KV."""
    if not fields.first("mb_per_layer"):
        return []
    half = layers // 2
    return [
        (SHARED if index >= half + 2 else FULL if index == half + 1 else WINDOW)
        if index % 2
        else (NONE if index > half else STATE)
        for index in range(layers)
    ]


Reader = Callable[[Fields, int], list[str]]
READERS: tuple[tuple[str, Reader], ...] = (
    ("linear_attn_config", _kimi),
    ("hybrid_override_pattern", _nemotron),
    ("hybrid_layer_pattern", _pattern_list),
    ("interleaved_sliding_window", _interleaved),
    ("local_layer_ids", _local_ids),
    ("no_rope_layers", _rope_layers),
    ("layer_types", _layer_types),
    ("sliding_window_pattern", _letters),
    ("attn_type_list", _minimax),
    ("hybrid_layer_ids", _hybrid_ids),
    ("attn_layer_period", _jamba),
    ("attn_layer_indices", _attention_indices),
    ("full_attention_interval", _interval),
    ("layer_group_size", _groups),
    ("mamba_step", _plamo),
    ("cross_attention_layers", _cross),
    ("mb_per_layer", _phi4_flash),
)


NAMES = (
    *(name for name, _reader in READERS),
    *(
        "global_attn_every_n_layers",
        "no_rope_layer_interval",
        "max_window_layers",
        "attn_layer_offset",
        "full_attn_idxs",
    ),
    *("layers_block_type", "attention_chunk_size", "full_attention_idx", "mamba_enabled"),
)
"""Fields that tell the kinds of layers: one of them is enough, the others repeat it."""


def shared_tail(kinds: tuple[str, ...], count: int) -> tuple[str, ...]:
    """The last ``count`` layers attend with the KV of an earlier one (Gemma 3n, Gemma 4)."""
    if count <= 0 or count >= len(kinds):
        return kinds
    return kinds[: len(kinds) - count] + (SHARED,) * count


def cross_layer(kinds: tuple[str, ...], factor: int) -> tuple[str, ...]:
    """Of each ``factor`` layers the first keeps KV, the others use it (Hunyuan's cross-layer attention)."""
    if factor < 2:
        return kinds
    return tuple(kind if index % factor == 0 else SHARED for index, kind in enumerate(kinds))


def per_block(blocks: list[Any]) -> bool:
    """Whether ``block_configs`` describes each layer (Nemotron NAS)."""
    return bool(blocks) and all(isinstance(block, Mapping) for block in blocks)
