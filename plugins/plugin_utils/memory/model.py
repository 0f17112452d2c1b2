# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A model's shape, read from the ``config.json`` that its authors publish.

Everything is computed from a description of each layer (`memory/models/layer.py`). Field names differ between families; every
spelling stands in a published config.json. What cannot be read is a finding, never an exception. Sizes are counts (layers, heads,
features), not bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import Finding
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.models.findings import findings
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.models.layer import LOCAL, NONE, SHARED, Layer
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.models.quantization import (
    Quantization,
    quantization,
)
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.models.read import Reading, read


@dataclass(frozen=True)
class Architecture:
    """The counts that decide about memory. 0 means that the model has no such thing."""

    layers: int = 0
    hidden: int = 0
    vocab: int = 0
    heads: int = 0
    kv_heads: int = 0
    head_dim: int = 0
    v_head_dim: int = 0
    intermediate: int = 0
    experts: int = 0
    experts_per_token: int = 0
    moe_intermediate: int = 0
    shared_intermediate: int = 0
    """Width of all shared experts together."""
    dense_layers: int = 0
    """Layers with a dense MLP in a model that has experts."""
    mtp_layers: int = 0
    """Layers for multi token prediction that lie in the checkpoint beside ``layers``."""
    kv_lora_rank: int = 0
    """Width of the compressed KV of multi-head latent attention (MLA)."""
    q_lora_rank: int = 0
    qk_rope: int = 0
    index_head_dim: int = 0
    """Width of the sparse attention indexer's key; cached per token and layer."""
    sliding_window: int = 0
    linear_value_heads: int = 0
    context: int = 0
    tied: bool = False
    dtype_bytes: int = 2
    nested: str = ""
    vision: bool = False
    quantization: Quantization = field(default_factory=Quantization)
    model_type: str = ""
    stack: tuple[Layer, ...] = ()
    """Each layer, in order, without those for multi token prediction."""
    mtp: tuple[Layer, ...] = ()
    tower_parameters: int = 0
    """Parameters of encoders for images and sound."""
    other_parameters: int = 0
    """What lies beside the layers and is no embedding of tokens (per-layer embeddings of Gemma 3n)."""
    known: bool = True
    """The family is in our tables. Of another one the KV per token is only a range."""

    def without(self, *, windows: bool = False, states: bool = False) -> Architecture:
        """The same layers without windows (they count as full elsewhere) or without states."""
        stack = self.stack
        if windows:
            stack = tuple(layer for layer in stack if layer.kind not in LOCAL)
            stack = tuple(replace(layer, tail=0, span=0) if layer.row else layer for layer in stack)
        if states:
            stack = tuple(replace(layer, state=None) for layer in stack)
        return replace(self, stack=stack)

    @property
    def mla(self) -> bool:
        """Multi-head latent attention: KV is one compressed row per token, the same for all heads."""
        return any(layer.row for layer in self.stack)

    @property
    def growing(self) -> tuple[Layer, ...]:
        """Layers whose KV grows with each token."""
        return tuple(layer for layer in self.stack if layer.grows)

    @property
    def attention_layers(self) -> int:
        """Layers that keep KV, of one token or of a window."""
        return sum(layer.grows or layer.kind in LOCAL for layer in self.stack)

    @property
    def sliding_layers(self) -> int:
        """Layers that keep the KV of a window or a chunk."""
        return sum(layer.kind in LOCAL for layer in self.stack)

    @property
    def linear_layers(self) -> int:
        """Layers with a state of fixed size; some of them attend as well (Falcon-H1)."""
        return sum(layer.state is not None for layer in self.stack)

    @property
    def moe_layers(self) -> int:
        """Layers with routed experts, multi token prediction included."""
        return sum(layer.expert_parameters > 0 for layer in (*self.stack, *self.mtp))

    @property
    def attention_parameters(self) -> int:
        """Parameters of one attention block, the largest."""
        return max((layer.attention_parameters for layer in self.stack), default=0)

    @cached_property
    def mixer_parameters(self) -> int:
        """Parameters of all attention blocks and of what has a state instead."""
        return self._sum(lambda layer: layer.attention_parameters + (layer.state.parameters if layer.state else 0))

    @cached_property
    def expert_parameters(self) -> int:
        """Parameters of all routed experts of the checkpoint."""
        return self._sum(lambda layer: layer.expert_parameters)

    @cached_property
    def dense_parameters(self) -> int:
        """Parameters of all dense feed-forward layers."""
        return self._sum(lambda layer: layer.dense_parameters)

    @cached_property
    def shared_parameters(self) -> int:
        """Parameters of all shared experts."""
        return self._sum(lambda layer: layer.shared_parameters)

    @cached_property
    def router_parameters(self) -> int:
        """Parameters of all routers; they are neither quantized nor sharded."""
        return self._sum(lambda layer: layer.router_parameters)

    @cached_property
    def replicated_parameters(self) -> int:
        """Parameters of attention that every tensor parallel rank holds whole."""
        return self._sum(lambda layer: layer.replicated_parameters)

    @property
    def embedding_parameters(self) -> int:
        """Token embedding and output head; each multi token prediction layer brings copies and a projection."""
        once = self.vocab * self.hidden * (1 if self.tied else 2)
        return once * (1 + self.mtp_layers) + self.mtp_layers * 2 * self.hidden**2

    @cached_property
    def parameters(self) -> int:
        """Estimate of all parameters (norms and biases left out: below 0.1 %)."""
        return (
            self.embedding_parameters
            + self.tower_parameters
            + self.other_parameters
            + self._sum(lambda one: one.parameters)
        )

    def _sum(self, part: Callable[[Layer], int]) -> int:
        return sum(part(layer) for layer in (*self.stack, *self.mtp))


def architecture(config: Any) -> tuple[Architecture, list[Finding]]:
    """Read ``config`` (the content of config.json). Returns the shape and what could not be read."""
    reading = read(config)
    return _shape(reading), findings(reading)


def _shape(reading: Reading) -> Architecture:
    fields, parts, stack = reading.fields, reading.feed_forward, reading.stack
    attends = [layer for layer in stack if layer.heads and layer.kind not in (NONE, SHARED)]
    first = max(attends, key=lambda layer: (layer.grows, layer.heads), default=Layer())
    lora = fields.first("kv_lora_rank") if any(layer.row for layer in stack) else 0
    sparse = any(layer.expert_parameters for layer in stack)
    return Architecture(
        layers=len(stack),
        hidden=reading.hidden,
        vocab=reading.vocab,
        heads=reading.heads.heads,
        kv_heads=reading.heads.kv_heads if first.row else first.kv_heads or reading.heads.kv_heads,
        head_dim=first.key or reading.heads.key,
        v_head_dim=first.value or reading.heads.value,
        intermediate=parts.intermediate,
        experts=parts.experts if sparse else 0,
        experts_per_token=reading.experts_per_token,
        moe_intermediate=parts.moe_intermediate,
        shared_intermediate=parts.shared_intermediate,
        dense_layers=sum(layer.dense_parameters > 0 and not layer.expert_parameters for layer in stack)
        if sparse
        else 0,
        mtp_layers=len(reading.mtp),
        kv_lora_rank=lora,
        q_lora_rank=fields.first("q_lora_rank"),
        qk_rope=fields.first("qk_rope_head_dim"),
        index_head_dim=max((layer.index for layer in stack), default=0),
        sliding_window=max((layer.span for layer in stack if layer.kind in LOCAL), default=0),
        linear_value_heads=fields.first("linear_num_value_heads") if any(layer.state for layer in stack) else 0,
        context=reading.context,
        tied=reading.tied,
        dtype_bytes=reading.dtype_bytes,
        nested=reading.nested,
        vision=reading.vision,
        quantization=quantization(reading.top, fields.written),
        model_type=reading.model_type,
        stack=stack,
        mtp=reading.mtp,
        tower_parameters=reading.tower_parameters,
        other_parameters=reading.other_parameters,
        known=reading.known,
    )
