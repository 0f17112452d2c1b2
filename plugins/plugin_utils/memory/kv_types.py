# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Types in which engines keep KV, with the scales that lie beside the values.

vLLM 0.32: ``CacheDType`` in config/cache.py; ``state_content_bytes`` in mla_attention.py (656 bytes for a row of 512 + 64 in
``fp8_ds_mla``, 352 in ``nvfp4_ds_mla``), in deepseek_v4/attention.py (584 for a row of 512), in triton_attn.py (a float32 per
head and side); ``nvfp4_kv_cache_full_dim`` (half a byte, and a scale for 16 values). SGLang 0.5.23: kv_cache_dtype.py and
memory_pool.py. LMDeploy: ``quant_policy`` stores scale and zero point in 16 bit per head and side (cache_engine.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import Finding, finding
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.models.layer import Layer

PACKED_FP8: Mapping[int, int] = {576: 656, 512: 584}
"""Width of a latent row → bytes, in FP8 with scales and with the rotated part in 16 bit."""
PACKED_FP4: Mapping[int, int] = {576: 352}
INDEX_BLOCK = 128
"""Indexers keep their key in FP8 with one float32 scale per 128 values: 132 bytes in DeepSeek V3.2."""


@dataclass(frozen=True)
class KvType:
    """How one cached value is kept."""

    value: float
    """Bytes of a value, scales per block of values included."""
    per_head: int = 0
    """Bytes of scales for each head and side (key, value)."""
    rows: Mapping[int, int] = field(default_factory=dict)
    """Width of a latent row → its bytes, where they are no multiple of the width."""
    sparse_rows: Mapping[int, int] = field(default_factory=dict)
    """The same for models with a sparse indexer, whose kernels want a packed row."""

    @staticmethod
    def of(width: float | KvType) -> KvType:
        """A plain number of bytes as a type."""
        return width if isinstance(width, KvType) else KvType(float(width))

    def token(self, layer: Layer) -> float:
        """Bytes that ``layer`` keeps for one token, stored once; fractions where one row stands for several tokens."""
        if layer.row:
            packed = self.sparse_rows if layer.index or layer.ratio > 1 else {}
            own = {**self.rows, **packed}.get(layer.row, layer.row * self.value)
        else:
            own = layer.values * self.value + 2 * layer.kv_heads * self.per_head
        return (own + index_bytes(layer)) / layer.ratio

    def heads(self, layer: Layer, heads: int) -> float:
        """Bytes for one token of ``heads`` of its KV heads; a row is the same for all."""
        if layer.row:
            return self.token(layer)
        return heads * ((layer.key + layer.value) * self.value + 2 * self.per_head) + index_bytes(layer)

    def tail(self, layer: Layer) -> float:
        """Bytes of one token of the window that a growing layer keeps besides."""
        if layer.row:
            return {**self.rows, **self.sparse_rows}.get(layer.row, layer.tail * self.value)
        return layer.tail * self.value


WIDE, FULL32 = KvType(2.0), KvType(4.0)
FP8 = KvType(1.0, sparse_rows=PACKED_FP8)
FP4 = KvType(0.5 + 1 / 16)
TYPES: Mapping[str, KvType] = {
    **dict.fromkeys(("bfloat16", "bf16", "float16", "fp16", "half"), WIDE),
    **dict.fromkeys(("float32", "fp32", "float"), FULL32),
    **dict.fromkeys(("fp8", "fp8_e4m3", "fp8_e5m2", "fp8_inc"), FP8),
    "fp8_ds_mla": KvType(1.0, rows=PACKED_FP8),
    "nvfp4_ds_mla": KvType(0.5 + 1 / 16, rows=PACKED_FP4),
    **dict.fromkeys(("fp4_e2m1", "nvfp4", "nvfp4_4over6", "mxfp4"), FP4),
    **dict.fromkeys(("int8_per_token_head", "fp8_per_token_head"), KvType(1.0, per_head=4)),
    "int4_per_token_head": KvType(0.5, per_head=4),
    "int8": KvType(1.0, per_head=4),
    "int4": KvType(0.5, per_head=4),
}


def index_bytes(layer: Layer) -> int:
    """Bytes of an indexer's key of one row. Beside whole heads (MiniMax M3) it is kept in 16 bit."""
    if not layer.row:
        return 2 * layer.index
    return layer.index + -(-layer.index // INDEX_BLOCK) * 4 if layer.index else 0


def kv_type(dtype: Any, own_bytes: int) -> tuple[KvType, list[Finding]]:
    """The type for an engine's ``kv_cache_dtype``; ``auto`` is the model's own dtype, of ``own_bytes``."""
    name = str(dtype or "auto").lower()
    if name in ("auto", ""):
        return KvType(float(own_bytes)), []
    if name in TYPES:
        return TYPES[name], []
    remedy = f"one of {', '.join(sorted(TYPES))}"
    message = f"{name!r} is not known here: counted as 16 bit"
    return WIDE, [finding("warn", "kv-dtype-unknown", "kv_dtype", message, remedy)]
