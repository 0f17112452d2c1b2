# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an engine spends its KV pool on: which layers grow in its own accounting, and what each request takes besides.

* vLLM frees what a window has left behind since 0.10 (hybrid KV cache manager; ``disable_hybrid_kv_cache_manager`` turns it off).
  It puts layers of several kinds into groups of one size, padded (``_get_kv_cache_groups_uniform_page_size`` in
  v1/core/kv_cache_utils.py, 0.32), and a window also holds the tokens of the running step (``SlidingWindowSpec``).
* SGLang has two pools for the architectures in ``is_hybrid_swa_model`` (srt/configs/model_config.py, 0.5.23); the second holds
  ``swa_full_tokens_ratio`` as many tokens (0.8; 0.1 for DeepSeek V4). In all other models a window keeps every token.
  State lies in a pool of its own, which the pool's arithmetic takes off.
* LMDeploy keeps every token.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.engines import Engine
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.kv_cache import (
    kv_per_request_per_gpu,
    kv_per_token_per_gpu,
    kv_range,
)
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.kv_types import KvType
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.model import Architecture
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.models.layer import LOCAL
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.parallelism.sizes import Parallel
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.values import Line, line, number, parts

TWO_POOLS = frozenset(
    (
        *(
            "llama4",
            "llama4_text",
            "gpt_oss",
            "granite_swa",
            "granitemoe_swa",
            "mimo_v2_flash",
            "mimo_v2",
            "step3p5",
            "step3p7",
        ),
        *("gemma4_text", "gemma4_unified_text", "diffusion_gemma_text", "embedding_gemma2_text", "laguna", "mellum"),
        *("muse_glimmer_text", "inkling_text", "deepseek_v4", "deepseek_ref"),
    )
)
"""Model types for which SGLang has a pool for windows."""
SECOND_POOL = 0.8
FEW_WINDOWS = {"deepseek_v4": 0.1, "deepseek_ref": 0.1, "inkling_text": 0.1}


@dataclass(frozen=True)
class Cost:
    """What the pool of one GPU is spent on. Bytes."""

    per_token: int = 0
    least: int = 0
    """Per token, for a family that is not known: the lowest that it may be."""
    per_request: int = 0
    """Of each running request, whatever its length."""
    once: int = 0
    """Of the running step: the tokens that windows hold until they are freed."""
    arithmetic: list[Line] = field(default_factory=list)

    def tokens(self, pool: int, requests: int, *, hopeful: bool = False) -> int:
        """Tokens in a pool that also holds the constants of so many requests."""
        left = pool - requests * self.per_request - self.once
        each = self.least if hopeful else self.per_token
        return max(0, left) // each if each else (0 if left <= 0 else 10**9)


def cost(
    shape: Architecture, sizes: Parallel, width: float | KvType, which: Engine, *, context: int, batched: int = 0
) -> Cost:
    """The cost with this engine; context: tokens of one request, batched: of one step (vLLM)."""
    form, share = KvType.of(width), window_share(shape, which)
    growing, lines = kv_per_token_per_gpu(shape, sizes, form)
    groups = grouping(shape) if which.name == "vllm" and not share else {}
    size = round(growing * groups.get("full", 1.0))
    if size != growing:
        lines.append(line("KV per token, groups padded", f"{growing} x {groups['full']:.3f}", size, "bytes"))
    local = _local(shape, sizes, form) if share else 0
    if local:
        more = round(local * share)
        lines.append(line("layers with a window, not freed", f"{local} x {share:g}", more, "bytes"))
        size += more
    low, high = kv_range(shape, form)
    least = size * low // high if high else size
    counted = shape.without(windows=share > 0, states=which.name == "sglang")
    request, step, more_lines = _constants(counted, sizes, form, context, 0 if share else batched)
    padded = max((factor for kind, factor in groups.items() if kind != "full"), default=1.0)
    if request and padded > 1:
        request = round(request * padded)
        more_lines.append(line("of one request, groups padded", f"x {padded:.3f}", request, "bytes"))
    return Cost(size, least, request, step, [*lines, *more_lines])


def window_share(shape: Architecture, which: Engine) -> float:
    """For which part of the tokens a layer with a window keeps KV; 0 where the engine frees what the window left behind."""
    if not any(layer.kind in LOCAL or layer.tail for layer in shape.stack):
        return 0.0
    if which.name == "vllm":
        off = which.args.get("disable_hybrid_kv_cache_manager") is True or not which.since(0, 10)
        return 1.0 if off else 0.0
    if which.name == "sglang" and shape.model_type in TWO_POOLS and not which.args.get("disable_hybrid_swa_memory"):
        return number(which.args.get("swa_full_tokens_ratio")) or FEW_WINDOWS.get(shape.model_type, SECOND_POOL)
    return 1.0


def grouping(shape: Architecture) -> dict[str, float]:
    """By how much vLLM pads each kind of layer, as a factor; empty when all are of one kind."""
    counts = {"full": len(shape.growing), "state": shape.linear_layers}
    for layer in shape.stack:
        if layer.kind in LOCAL:
            counts[f"{layer.kind}-{layer.span}"] = counts.get(f"{layer.kind}-{layer.span}", 0) + 1
    counts = {kind: count for kind, count in counts.items() if count}
    if len(counts) < 2 or any(layer.ratio > 1 for layer in shape.stack):  # DeepSeek V4 is packed in another way
        return {}
    few, many = min(counts.values()), max(counts.values())
    size = many if many < 1.5 * few else few
    return {kind: parts(count, size) * size / count for kind, count in counts.items()}


def _local(shape: Architecture, sizes: Parallel, form: KvType) -> int:
    total = 0.0
    for layer in shape.stack:
        if layer.kind in LOCAL:
            total += form.heads(layer, parts(layer.kv_heads, sizes.attention_tp))
        elif layer.tail and layer.row:
            total += form.tail(layer)
    return parts(round(total), sizes.pp)


def _constants(
    shape: Architecture, sizes: Parallel, form: KvType, context: int, batched: int
) -> tuple[int, int, list[Line]]:
    """Bytes of each request and of the running step, and the arithmetic."""
    request, lines = kv_per_request_per_gpu(shape, sizes, form, context)
    step = kv_per_request_per_gpu(shape, sizes, form, context, batched)[0] - request if batched else 0
    if step:
        lines.append(line("windows hold the running step", f"{batched} tokens at most", step, "bytes"))
    return request, step, lines
