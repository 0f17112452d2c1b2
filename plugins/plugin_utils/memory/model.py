# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A model's shape, read from the ``config.json`` that its authors publish.

Field names differ between families; every spelling read here stands in a published config.json. What cannot be read is
a finding, never an exception. Sizes in this module are counts (layers, heads, features), not bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import Finding, finding
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.values import mapping, whole

TEXT_CONFIGS = ("text_config", "llm_config", "language_config", "thinker_config")
"""Where a vision, audio or omni model keeps the config of its language model."""

STATE_FIELDS = ("mamba", "ssm_", "rwkv", "state_size", "layers_block_type", "hybrid_override_pattern", "attn_type_list")
"""Beginnings of fields that only models with a state per request have, where ``layer_types`` does not tell."""


@dataclass(frozen=True)
class Quantization:
    """How the checkpoint's weights are stored: ``quantization_config`` of config.json."""

    method: str = ""
    """``quant_method``: fp8, awq, gptq, compressed-tensors, modelopt …; empty when nothing is quantized."""
    fp8: bool = False
    bits: int = 0
    """Bits per quantized weight; 0 when unknown."""
    block: int = 0
    """FP8 with one scale for block x block weights (``weight_block_size``); 0 without blocks."""
    group: int = 0
    """INT4 with one scale per ``group`` inputs (``group_size``); 0 without groups."""
    unconverted: str = ""
    """Names of the modules left in the original dtype, in one text to search in."""


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
    """Width of the sparse attention indexer's key (DeepSeek V3.2); cached per token and layer."""
    sliding_layers: int = 0
    sliding_window: int = 0
    linear_layers: int = 0
    """Layers with a state of fixed size (Mamba, DeltaNet) instead of KV."""
    linear_value_heads: int = 0
    context: int = 0
    tied: bool = False
    dtype_bytes: int = 2
    nested: str = ""
    vision: bool = False
    quantization: Quantization = Quantization()

    @property
    def mla(self) -> bool:
        """Multi-head latent attention: KV is one compressed row per token, the same for all heads."""
        return self.kv_lora_rank > 0

    @property
    def attention_layers(self) -> int:
        """Layers that keep KV."""
        return max(0, self.layers - self.linear_layers)

    @property
    def moe_layers(self) -> int:
        """Layers with routed experts, multi token prediction included."""
        return max(0, self.layers - self.dense_layers + self.mtp_layers) if self.experts else 0

    @property
    def attention_parameters(self) -> int:
        """Parameters of one attention block; in all layers alike."""
        if not self.mla:
            return self.hidden * self.head_dim * 2 * (self.heads + self.kv_heads)
        queries = self.heads * self.head_dim
        query = self.q_lora_rank * (self.hidden + queries) or self.hidden * queries
        unrotated = self.head_dim - self.qk_rope
        compressed = self.hidden * (self.kv_lora_rank + self.qk_rope)
        expanded = self.kv_lora_rank * self.heads * (unrotated + self.v_head_dim)
        return query + compressed + expanded + self.heads * self.v_head_dim * self.hidden

    @property
    def expert_parameters(self) -> int:
        """Parameters of all routed experts of the checkpoint."""
        return self.moe_layers * self.experts * 3 * self.hidden * self.moe_intermediate

    @property
    def dense_parameters(self) -> int:
        """Parameters of all dense feed-forward layers."""
        return (self.dense_layers if self.experts else self.layers) * 3 * self.hidden * self.intermediate

    @property
    def shared_parameters(self) -> int:
        """Parameters of all shared experts."""
        return self.moe_layers * 3 * self.hidden * self.shared_intermediate

    @property
    def router_parameters(self) -> int:
        """Parameters of all routers; they are neither quantized nor sharded."""
        return self.moe_layers * self.experts * self.hidden

    @property
    def embedding_parameters(self) -> int:
        """Token embedding and output head; each multi token prediction layer brings copies and a projection."""
        once = self.vocab * self.hidden * (1 if self.tied else 2)
        return once * (1 + self.mtp_layers) + self.mtp_layers * 2 * self.hidden**2

    @property
    def parameters(self) -> int:
        """Estimate of all parameters (norms and biases left out: below 0.1 %)."""
        everywhere = (self.layers + self.mtp_layers) * self.attention_parameters
        ours = self.dense_parameters + self.shared_parameters + self.expert_parameters + self.router_parameters
        return self.embedding_parameters + everywhere + ours


def architecture(config: Any) -> tuple[Architecture, list[Finding]]:
    """Read ``config`` (the content of config.json). Returns the shape and what could not be read."""
    top = mapping(config)
    nested = next((key for key in TEXT_CONFIGS if mapping(top.get(key))), "")
    text = mapping(top.get(nested)) if nested else top
    text = mapping(text.get("text_config")) or text  # omni models nest twice
    both = {**top, **text}
    layers, hidden = _first(both, "num_hidden_layers", "n_layer", "num_layers"), _first(both, "hidden_size", "n_embd")
    heads = _first(both, "num_attention_heads", "n_head")
    rope, lora = _first(both, "qk_rope_head_dim"), _first(both, "kv_lora_rank")
    head_dim = _first(both, "head_dim", "kv_channels") or (hidden // heads if heads else 0)
    if lora:
        head_dim = _first(both, "qk_nope_head_dim") + rope or head_dim
    experts = _first(both, "n_routed_experts", "num_experts", "num_local_experts")
    moe_intermediate = _first(both, "moe_intermediate_size") or (_first(both, "intermediate_size") if experts else 0)
    sliding, linear = _layer_kinds(both, layers)
    shape = Architecture(
        layers=layers,
        hidden=hidden,
        vocab=_first(both, "vocab_size", "padded_vocab_size"),
        heads=heads,
        kv_heads=_first(both, "num_key_value_heads", "multi_query_group_num", "num_kv_heads") or heads,
        head_dim=head_dim,
        v_head_dim=_first(both, "v_head_dim") or head_dim,
        intermediate=_first(both, "intermediate_size", "ffn_hidden_size", "n_inner") or 4 * hidden,
        experts=experts,
        experts_per_token=_first(both, "num_experts_per_tok", "moe_topk", "num_experts_per_token"),
        moe_intermediate=moe_intermediate,
        shared_intermediate=_first(both, "shared_expert_intermediate_size", "share_expert_dim")
        or _first(both, "n_shared_experts", "num_shared_experts") * moe_intermediate,
        dense_layers=min(layers, _dense_layers(both)) if experts else 0,
        mtp_layers=min(layers, _first(both, "num_nextn_predict_layers", "mtp_num_hidden_layers")),
        kv_lora_rank=lora,
        q_lora_rank=_first(both, "q_lora_rank"),
        qk_rope=rope,
        index_head_dim=_first(both, "index_head_dim"),
        sliding_layers=sliding,
        sliding_window=_first(both, "sliding_window") if sliding else 0,
        linear_layers=linear,
        linear_value_heads=_first(both, "linear_num_value_heads"),
        context=_first(both, "max_position_embeddings", "seq_length", "n_positions", "model_max_length"),
        tied=bool(both.get("tie_word_embeddings", False)),
        dtype_bytes=4 if str(both.get("dtype") or both.get("torch_dtype")) in ("float32", "torch.float32") else 2,
        nested=nested,
        vision=bool(mapping(top.get("vision_config")) or mapping(top.get("audio_config"))),
        quantization=_quantization(top, text),
    )
    return shape, _findings(shape, both)


def _first(config: Mapping[str, Any], *names: str) -> int:
    """The first of ``names`` that is a number above 0."""
    return next((size for size in (whole(config.get(name)) for name in names) if size), 0)


def _dense_layers(config: Mapping[str, Any]) -> int:
    """Dense layers of a model with experts: the first k (DeepSeek, GLM, Kimi), a list, or all but every n-th (Qwen)."""
    listed = config.get("mlp_only_layers")
    step = _first(config, "decoder_sparse_step", "moe_layer_freq") or 1
    layers = _first(config, "num_hidden_layers")
    return (
        _first(config, "first_k_dense_replace")
        + (len(listed) if isinstance(listed, list) else 0)
        + (layers - layers // step if step > 1 else 0)
    )


def _layer_kinds(config: Mapping[str, Any], layers: int) -> tuple[int, int]:
    """How many layers slide (KV of one window) and how many are linear (no KV)."""
    kinds = config.get("layer_types")
    if isinstance(kinds, list) and kinds:
        names = [str(kind) for kind in kinds[:layers]]
        return (
            sum("sliding" in name or "chunked" in name for name in names),
            sum("linear" in name or "mamba" in name or name == "conv" for name in names),
        )
    interval = _first(config, "full_attention_interval")  # Qwen3-Next: each n-th layer is full attention
    if interval > 1:
        return 0, layers - layers // interval
    pattern = _first(config, "sliding_window_pattern")  # Gemma: each n-th layer is full attention
    if pattern > 1 and _first(config, "sliding_window"):
        return layers - layers // pattern, 0
    window, context = _first(config, "sliding_window"), _first(config, "max_position_embeddings")
    everywhere = config.get("use_sliding_window", True) is not False and 0 < window < context
    return (layers if everywhere else 0), 0


def _quantization(top: Mapping[str, Any], text: Mapping[str, Any]) -> Quantization:
    """``quantization_config`` of the model or, in nested configs, of its text part."""
    raw = mapping(top.get("quantization_config")) or mapping(text.get("quantization_config"))
    method = str(raw.get("quant_method") or raw.get("quant_algo") or ("unknown" if raw else "")).lower()
    group_config = next(iter(mapping(raw.get("config_groups")).values()), None)
    weights = mapping(mapping(group_config).get("weights"))
    fp8 = "fp8" in method or (str(weights.get("type")) == "float" and whole(weights.get("num_bits")) == 8)
    blocks = raw.get("weight_block_size") or weights.get("block_structure")
    unconverted = raw.get("modules_to_not_convert") or raw.get("ignore") or raw.get("ignored_layers")
    return Quantization(
        method=method,
        fp8=fp8,
        bits=8 if fp8 else whole(raw.get("bits")) or whole(weights.get("num_bits")) or (8 if "int8" in method else 0),
        block=whole(blocks[0]) if fp8 and isinstance(blocks, list) and blocks else 0,
        group=0 if fp8 else whole(raw.get("group_size")) or whole(weights.get("group_size")),
        unconverted=" ".join(map(str, unconverted)) if isinstance(unconverted, list) else "",
    )


def _findings(shape: Architecture, config: Mapping[str, Any]) -> list[Finding]:
    """What the estimate cannot know from this config.json."""
    found: list[Finding] = []
    needed = {"num_hidden_layers": shape.layers, "hidden_size": shape.hidden, "num_attention_heads": shape.heads}
    missing = [name for name, value in needed.items() if not value]
    if missing:
        found.append(
            finding(
                "fail",
                "config-incomplete",
                "model.config",
                f"config.json has no usable {', '.join(missing)}",
                "give the model's own config.json, unshortened (it lies beside the weights)",
            )
        )
    if shape.nested:
        message = f"a model with more than text: its language part is read from {shape.nested}"
        if shape.vision:
            message += "; whether the encoder is sharded or whole on each GPU depends on the engine: counted as sharded"
        found.append(finding("info", "config-nested", "model.config", message))
    if shape.sliding_layers:
        found.append(
            finding(
                "info",
                "sliding-window",
                "model.config.sliding_window",
                f"{shape.sliding_layers} of {shape.layers} layers keep KV of {shape.sliding_window} tokens only;"
                " they are counted like full layers, so more tokens fit where the engine frees them",
            )
        )
    if shape.linear_layers or any(str(key).startswith(STATE_FIELDS) for key in config):
        found.append(
            finding(
                "warn",
                "state-not-counted",
                "model.config",
                f"{shape.linear_layers or 'some'} layers keep a state per request instead of KV per token;"
                " its size is not part of this estimate",
                "leave headroom: tens to hundreds of MiB per running request",
            )
        )
    return found
