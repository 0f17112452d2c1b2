# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One layer of a model, as far as memory is concerned: what it keeps per token, per request, and how many parameters it has.

Sizes are counts of values and of parameters; only a state has bytes of its own, because its dtype is not that of the KV cache.
"""

from __future__ import annotations

from dataclasses import dataclass

FULL = "full"
"""Attends to everything: its KV grows with each token."""
WINDOW = "window"
"""Attends to the last tokens: its KV stops growing at ``span`` tokens."""
CHUNK = "chunk"
"""Attends inside chunks of ``span`` tokens (Llama 4): at most one chunk is kept."""
CROSS = "cross"
"""Attends to what an encoder gave, once per request."""
SHARED = "shared"
"""Attends with the KV of an earlier layer, and keeps none (Gemma 3n, cross-layer attention)."""
NONE = "none"
"""No attention at all: a state, a feed-forward layer, a dropped block."""
LOCAL = (WINDOW, CHUNK)


@dataclass(frozen=True)
class State:
    """What a linear attention or state space layer keeps for each request, whatever its length."""

    narrow: int
    """Values in the model's dtype: the inputs of the convolution."""
    wide: int
    """Values of the recurrent state."""
    wide_bytes: int = 4
    """Bytes of one of these; float32 unless the engine or config.json has another one."""
    parameters: int = 0
    heads: int = 0
    """Heads that tensor parallel deals out."""

    def size(self, dtype_bytes: int = 2) -> int:
        """Bytes for one request."""
        return self.narrow * dtype_bytes + self.wide * self.wide_bytes


@dataclass(frozen=True)
class Layer:
    """One decoder layer. 0 means that it has no such thing."""

    kind: str = FULL
    heads: int = 0
    kv_heads: int = 0
    key: int = 0
    """Width of a key of one head."""
    value: int = 0
    row: int = 0
    """Width of the one row that latent attention keeps for all heads."""
    ratio: int = 1
    """Tokens that one row stands for (DeepSeek V4 compresses 4 or 128)."""
    index: int = 0
    """Width of the key of a sparse indexer, kept beside the row."""
    span: int = 0
    """Tokens kept at most by a window, a chunk or a cross attention."""
    tail: int = 0
    """Values per token of a window that a full layer keeps besides (DeepSeek V4)."""
    state: State | None = None
    attention_parameters: int = 0
    dense_parameters: int = 0
    router_parameters: int = 0
    expert_parameters: int = 0
    """Of all routed experts of the layer."""
    shared_parameters: int = 0
    replicated_parameters: int = 0
    """Part of ``attention_parameters`` that tensor parallel does not cut."""

    @property
    def grows(self) -> bool:
        """Its KV grows with each token of a request."""
        return self.kind == FULL

    @property
    def values(self) -> int:
        """Values kept for each token, stored once."""
        return self.row or self.kv_heads * (self.key + self.value)

    @property
    def parameters(self) -> int:
        """All parameters of the layer."""
        own = self.attention_parameters + (self.state.parameters if self.state else 0)
        return own + self.dense_parameters + self.router_parameters + self.expert_parameters + self.shared_parameters
