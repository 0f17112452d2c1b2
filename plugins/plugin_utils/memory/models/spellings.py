# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How families of models name the same thing. Every name stands in a published config.json, or in Mistral's params.json."""

from __future__ import annotations

LAYERS = (
    "num_hidden_layers",
    "n_layer",
    "n_layers",
    "num_layers",
    "num_transformer_layers",
    "decoder_layers",
    "num_decoder_layers",
)
HIDDEN = ("hidden_size", "n_embd", "d_model", "model_dim", "dim")
HEADS = ("num_attention_heads", "n_head", "n_heads", "num_heads", "num_query_heads", "decoder_attention_heads")
KV_HEADS = (
    *(
        "num_key_value_heads",
        "num_attention_groups",
        "multi_query_group_num",
        "num_kv_heads",
        "n_head_kv",
        "n_kv_heads",
        "kv_n_heads",
    ),
    *("num_query_groups", "num_key_value_groups"),
)
HEAD_DIM = ("head_dim", "attention_head_dim", "kv_channels", "hidden_size_per_head")
VOCAB = ("vocab_size", "padded_vocab_size", "vision_vocab_size")
CONTEXT = (
    *("max_position_embeddings", "seq_length", "n_positions", "model_max_length", "max_seq_len", "max_sequence_length"),
    *("max_context_length", "max_target_positions", "context_length", "n_ctx"),
)
INTERMEDIATE = (
    "intermediate_size",
    "ffn_hidden_size",
    "ffn_dim",
    "n_inner",
    "hidden_dim",
    "block_ff_dim",
    "decoder_ffn_dim",
    "d_ff",
)
DENSE_INTERMEDIATE = ("dense_intermediate_size", "prefix_dense_intermediate_size", "intermediate_size_mlp")
EXPERTS = ("n_routed_experts", "num_experts", "num_local_experts", "moe_num_experts", "num_moe_experts", "n_experts")
EXPERTS_PER_TOKEN = (
    *(
        "num_experts_per_tok",
        "num_experts_per_token",
        "moe_topk",
        "moe_top_k",
        "moe_k",
        "top_k_experts",
        "num_selected_experts",
    ),
    *("num_experts_per_layer", "experts_per_token"),
)
MOE_INTERMEDIATE = (
    *(
        "moe_intermediate_size",
        "expert_ffn_hidden_size",
        "expert_hidden_dim",
        "moe_ffn_hidden_size",
        "expert_intermediate_size",
    ),
    "ffn_hidden_size_per_expert",
)
SHARED_EXPERTS = ("n_shared_experts", "num_shared_experts", "moe_num_shared_experts", "num_shared_expert")
SHARED_INTERMEDIATE = (
    *("moe_shared_expert_intermediate_size", "shared_expert_intermediate_size", "share_expert_dim"),
    *("shared_intermediate_size", "moe_shared_intermediate_size"),
)
MTP_LAYERS = ("num_nextn_predict_layers", "mtp_num_hidden_layers", "num_mtp_layers", "mtp_num_layers")
WINDOW = ("sliding_window", "sliding_window_size", "attention_window_size", "window_size", "interleaved_sliding_window")
LAYER_TYPES = ("layer_types", "layers_block_type", "block_types", "attention_types", "layer_block_types")

KINDS = {
    **dict.fromkeys(
        ("full_attention", "attention", "full", "global", "global_attention", "attn", "self_attention"), "full"
    ),
    **dict.fromkeys(
        ("sliding_attention", "sliding", "sliding_window", "sliding_window_attention", "swa", "local"), "window"
    ),
    **dict.fromkeys(("local_attention", "window_attention"), "window"),
    **dict.fromkeys(("chunked_attention", "chunked"), "chunk"),
    **dict.fromkeys(
        ("linear_attention", "linear", "mamba", "mamba1", "mamba2", "conv", "shortconv", "recurrent", "ssm"), "state"
    ),
    **dict.fromkeys(("kda", "gdn", "gated_deltanet", "lightning_attention", "lightning", "jet", "rglru"), "state"),
    **dict.fromkeys(("hybrid", "parallel_hybrid", "full_attention+mamba"), "both"),
    **dict.fromkeys(("moe", "mlp", "ffn", "dense", "none", "noop", "no_op"), "none"),
    "indexed_attention": "full",
}
"""Names in lists of layers, and what they mean here; ``both`` attends and has a state."""
