# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one token costs in the KV cache. Bytes per token.

Sources: grouped-query attention keeps a key and a value per KV head and layer; multi-head latent attention keeps one
compressed row (``kv_lora_rank + qk_rope_head_dim``) per layer, and every tensor parallel rank keeps all of it (SGLang,
docs/basic_usage/deepseek_v3.md: without DP attention the KV cache is duplicated among all TP ranks). 70272 bytes for
DeepSeek-V3 in 16 bit agree with SGLang's logs (#6017: 161488 tokens in 10.57 GiB).
"""

from __future__ import annotations

from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import Finding, finding
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.model import Architecture
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.parallelism.sizes import Parallel
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.values import Line, line, parts

ELEMENT_BYTES = {
    **dict.fromkeys(("auto", "", "bfloat16", "bf16", "float16", "fp16", "half"), 2.0),
    **dict.fromkeys(("float32", "fp32", "float"), 4.0),
    **dict.fromkeys(("fp8", "fp8_e4m3", "fp8_e5m2", "fp8_inc", "int8"), 1.0),
    **dict.fromkeys(("fp4_e2m1", "nvfp4", "mxfp4", "int4"), 0.5),
}
INDEX_BLOCK = 128
"""SGLang caches the sparse indexer's key in FP8 with one float32 scale per 128 values (DeepSeek V3.2)."""


def element_bytes(dtype: Any, shape: Architecture) -> tuple[float, list[Finding]]:
    """Bytes per cached value for the engine's ``kv_cache_dtype`` (``auto`` is the model's own dtype)."""
    name = str(dtype or "auto").lower()
    if name in ("auto", ""):
        return float(shape.dtype_bytes), []
    if name in ELEMENT_BYTES:
        return ELEMENT_BYTES[name], []
    remedy = f"one of {', '.join(sorted(filter(None, ELEMENT_BYTES)))}"
    unknown = finding("warn", "kv-dtype-unknown", "kv_dtype", f"{name!r} is not known here: counted as 16 bit", remedy)
    return 2.0, [unknown]


def kv_per_token(shape: Architecture, width: float) -> int:
    """Bytes of one token over all layers and heads, stored once."""
    if shape.mla:
        return int(shape.attention_layers * ((shape.kv_lora_rank + shape.qk_rope) * width + _index_bytes(shape)))
    return int(shape.attention_layers * shape.kv_heads * (shape.head_dim + shape.v_head_dim) * width)


def kv_per_token_per_gpu(shape: Architecture, sizes: Parallel, width: float) -> tuple[int, list[Line]]:
    """Bytes of one token on one GPU, and the arithmetic."""
    layers = parts(shape.attention_layers, sizes.pp)
    if shape.mla:
        row = (shape.kv_lora_rank + shape.qk_rope) * width + _index_bytes(shape)
        formula = f"{layers} layers x ({shape.kv_lora_rank} + {shape.qk_rope}) x {width:g}"
        formula += f" + {layers} x {_index_bytes(shape)} for the indexer" if shape.index_head_dim else ""
        formula += ", on every tensor parallel rank" if sizes.attention_tp > 1 else ""
        size = int(layers * row)
    else:
        heads = parts(shape.kv_heads, sizes.attention_tp)
        size = int(layers * heads * (shape.head_dim + shape.v_head_dim) * width)
        formula = f"{layers} layers x {heads} KV heads x ({shape.head_dim} + {shape.v_head_dim}) x {width:g}"
    if sizes.kv_shards > 1:
        size, formula = parts(size, sizes.kv_shards), f"({formula}) / {sizes.kv_shards} of context parallel"
    return size, [line("KV per token on one GPU", formula, size, "bytes")]


def _index_bytes(shape: Architecture) -> int:
    """Bytes per token and layer of the sparse attention indexer's key."""
    return shape.index_head_dim + shape.index_head_dim // INDEX_BLOCK * 4
