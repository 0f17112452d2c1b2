# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fields of a config.json that no reader asked for and that sound like memory: heads, widths, windows, states, experts."""

from __future__ import annotations

import re
from typing import Any

from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.models.fields import Fields

TELLING = re.compile(
    r"(^|_)(kv|head|heads|attn|attention|window|swa|chunked|mamba|ssm|state|recurrent|linear|lora|latent|compress\w*|shared?"
    r"|layers?|blocks?|pattern|index\w*|experts?|moe|hidden|intermediate|ffn|mlp|dim|width|group|cache|period|freq|interval)(_|$)"
)
HARMLESS = re.compile(
    r"(token|dropout|_eps|eps_|(^|_)act(_|ivation|$)|bias|rope|rotary|init|norm(_|$)|scal|(^|_)loss|coef|jitter|router|gating|topk|top_k"
    r"|score|scoring|softcap|multiplier|factor|theta|time_step|clip|impl|mode|output_|return_|use_cache|gradient|flash|kernels"
    r"|pretrain|alpha|temperature|chunk_size|dtype|quant|vision|image|video|audio|mm_|projector|mup|_class|method|id2label"
    r"|version|seed|cross_attention_hidden_size|ep_size|capacity|n_group|group_limited|is_decoder|prefix|suffix|aux_|sinkhorn|swiglu"
    r"|^ignore_index$|^select_layer$|^zero_expert_type$|^attention_hidden_size$|^attn_res_block_size$|^num_hash_layers$"
    r"|^use_bidirectional_attention$|^qk_head_dim$|^encoder_|^mtp_"
    r"|feed_forward_chunk|add_cross|yarn|residual|beams|pruned|problem|bos|eos|pad_|order|align|qk_norm|qk_layernorm|renormalize)"
)


def not_understood(fields: Fields, *also: Fields) -> list[str]:
    """Names in alphabetical order; values that mean "none of it" (null, false, 0, 1, empty) leave nothing to understand."""
    read = fields.read.union(*(one.read for one in also))
    return sorted(
        name
        for name, value in fields.written.items()
        if name not in read and TELLING.search(name) and not HARMLESS.search(name) and _means_something(value)
    )


def _means_something(value: Any) -> bool:
    return value not in (None, False, 0, 1, "", [], {}) and not isinstance(value, float)
