# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a token and what a request costs in the KV cache. Bytes, summed over the layers of a model.

A layer of full attention grows with each token: a key and a value per KV head, or the one row of latent attention, which every
tensor parallel rank keeps whole (SGLang, docs/basic_usage/deepseek_v3.md: without DP attention the KV cache is duplicated among
all TP ranks). Windows, chunks, states and the output of an encoder are constants of each running request. 70272 bytes for
DeepSeek-V3 in 16 bit agree with SGLang's logs (#6017: 161488 tokens in 10.57 GiB).
"""

from __future__ import annotations

from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import Finding
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.kv_types import KvType, kv_type
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.model import Architecture
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.models.layer import LOCAL, Layer
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.parallelism.sizes import Parallel
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.values import Line, line, parts

SPARSEST = 13
"""Of so many layers one attends to everything in the published hybrid that has the fewest (Nemotron 3: 4 to 6 of 52)."""


def element_bytes(dtype: Any, shape: Architecture) -> tuple[KvType, list[Finding]]:
    """How the engine's ``kv_cache_dtype`` keeps a value (``auto`` is the model's own dtype)."""
    return kv_type(dtype, shape.dtype_bytes)


def kv_per_token(shape: Architecture, width: float | KvType) -> int:
    """Bytes by which one more token grows the cache, over all layers and heads, stored once."""
    form = KvType.of(width)
    return round(sum(form.token(layer) for layer in shape.growing))


def kv_range(shape: Architecture, width: float | KvType) -> tuple[int, int]:
    """Lowest and highest growth per token. The same number twice where the family is known."""
    highest = kv_per_token(shape, width)
    if shape.known:
        return highest, highest
    return highest * parts(len(shape.growing), SPARSEST) // max(1, len(shape.growing)), highest


def kv_per_token_per_gpu(shape: Architecture, sizes: Parallel, width: float | KvType) -> tuple[int, list[Line]]:
    """Bytes of one token on one GPU, and the arithmetic."""
    form = KvType.of(width)
    size, formulas = 0.0, []
    for layer, count in _grouped(shape.growing):
        layers = parts(count, sizes.pp)
        if layer.row:
            each = form.token(layer)
            words = f"{layers} layers x ({_row(shape, layer)}) x {form.value:g}"
            if form.token(layer) * layer.ratio != layer.row * form.value:
                words = f"{layers} layers x {each:g}"
            words += ", on every tensor parallel rank" if sizes.attention_tp > 1 else ""
        else:
            heads = parts(layer.kv_heads, sizes.attention_tp)
            each = form.heads(layer, heads)
            words = f"{layers} layers x {heads} KV heads x ({layer.key} + {layer.value}) x {form.value:g}"
        size += layers * each
        formulas.append(words)
    formula = " + ".join(formulas) or "no layer keeps KV that grows"
    total = round(size)
    if sizes.kv_shards > 1:
        total, formula = parts(total, sizes.kv_shards), f"({formula}) / {sizes.kv_shards} of context parallel"
    return total, [line("KV per token on one GPU", formula, total, "bytes")]


def kv_per_request(shape: Architecture, width: float | KvType, context: int = 0) -> int:
    """Bytes of one running request whatever its length, stored once: windows, chunks, states, cross attention.

    context: the longest request; a window is not longer than that.
    """
    return sum(_constant(layer, KvType.of(width), shape, context, shards=1) for layer in shape.stack)


def kv_per_request_per_gpu(
    shape: Architecture, sizes: Parallel, width: float | KvType, context: int = 0, in_flight: int = 0
) -> tuple[int, list[Line]]:
    """The same on one GPU, and the arithmetic.

    in_flight: tokens that a step adds to a window before the engine frees old ones (vLLM: ``max_num_batched_tokens``,
    SlidingWindowSpec in v1/kv_cache_interface.py; SGLang frees them between chunks of prefill).
    """
    form, total = KvType.of(width), 0
    for layer in shape.stack:
        total += _constant(layer, form, shape, context, shards=sizes.attention_tp, in_flight=in_flight)
    total = parts(total, sizes.pp)
    if not total:
        return 0, []
    what = f"{shape.sliding_layers} layers with a window of {shape.sliding_window}" if shape.sliding_layers else ""
    states = f"{shape.linear_layers} layers with a state" if shape.linear_layers else ""
    others = "" if what or states else "what an encoder gave"
    formula = " + ".join(filter(None, (what, states, others)))
    return total, [line("KV and state of one running request on one GPU", formula, total, "bytes")]


def _constant(layer: Layer, form: KvType, shape: Architecture, context: int, *, shards: int, in_flight: int = 0) -> int:
    """Bytes of one layer for one request."""
    span = layer.span + (in_flight if layer.kind in LOCAL or layer.tail else 0)
    span = min(span, context) if context else span
    heads = parts(layer.kv_heads, shards)
    size = 0.0
    if layer.tail:
        size += span * form.tail(layer) * (heads / layer.kv_heads if layer.kv_heads and not layer.row else 1)
    elif layer.span:
        size += span * form.heads(layer, heads)
    if layer.state:
        size += layer.state.size(shape.dtype_bytes) / min(shards, max(1, layer.state.heads))
    return round(size)


def _row(shape: Architecture, layer: Layer) -> str:
    rope = layer.row - shape.kv_lora_rank
    return f"{shape.kv_lora_rank} + {rope}" if shape.kv_lora_rank and rope else str(layer.row)


def _grouped(layers: tuple[Layer, ...]) -> list[tuple[Layer, int]]:
    """Layers that keep the same, with their number, in order of appearance."""
    groups: dict[tuple[int, ...], tuple[Layer, int]] = {}
    for layer in layers:
        key = (layer.kv_heads, layer.key, layer.value, layer.row, layer.ratio, layer.index)
        first, count = groups.get(key, (layer, 0))
        groups[key] = (first, count + 1)
    return list(groups.values())
