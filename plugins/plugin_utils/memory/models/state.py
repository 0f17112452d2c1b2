# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a layer with a state keeps for each request, and its parameters: Mamba, Mamba2, DeltaNet, KDA, lightning, convolutions.

Shapes: vllm/model_executor/layers/mamba/mamba_utils.py (0.32); SGLang keeps the same (srt/configs/mamba_utils.py of 0.5.23).
"""

from __future__ import annotations

from collections.abc import Callable

from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.models.fields import Fields
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.models.layer import State
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.models.spellings import HEAD_DIM, HEADS, HIDDEN

WIDE = {"bfloat16": 2, "float16": 2, "half": 2, "float32": 4, "float": 4}


def state(fields: Fields) -> State | None:
    """The state of the layers that have one; None when no field describes it."""
    return next((found for reader in READERS if (found := reader(fields))), None)


def _wide(fields: Fields) -> int:
    """Bytes of one value of the recurrent state: as config.json has it, otherwise float32.

    SGLang takes float32 then; vLLM on GPUs the model's dtype, which is half of it (``MambaStateDtypeCalculator``).
    """
    return WIDE.get(fields.text("mamba_ssm_cache_dtype", "mamba_ssm_dtype"), 4)


def _gated_delta(fields: Fields) -> State | None:
    """Gated DeltaNet: Qwen3-Next, Qwen3.5, OLMo hybrid."""
    value_heads, key_heads = fields.first("linear_num_value_heads"), fields.first("linear_num_key_heads")
    key_heads = key_heads or value_heads or fields.first(*HEADS)
    value_heads = value_heads or key_heads
    key, value = fields.first("linear_key_head_dim"), fields.first("linear_value_head_dim")
    hidden = fields.first(*HIDDEN)
    if "linear_key_head_dim" not in {**fields.written, **fields.defaults}:
        return None
    key = key or (int(0.75 * hidden / key_heads) if key_heads else 0)
    value = value or 2 * key
    keys, values = key_heads * key, value_heads * value
    taps = fields.first("linear_conv_kernel_dim") or 4
    channels = 2 * keys + values
    weights = hidden * (2 * keys + 2 * values + 2 * value_heads) + channels * taps + values * hidden
    return State(channels * (taps - 1), value_heads * key * value, _wide(fields), weights, value_heads)


def _kda(fields: Fields) -> State | None:
    """Kimi Delta Attention."""
    inner = fields.below("linear_attn_config")
    heads, size = inner.first("num_heads"), inner.first("head_dim")
    if not heads or not size:
        return None
    width, hidden, taps = heads * size, fields.first(*HIDDEN), inner.first("short_conv_kernel_size") or 4
    gates = hidden * width if inner.flag("use_full_rank_gate") else hidden * size + size * width
    weights = 4 * hidden * width + hidden * size + size * width + gates + hidden * heads + 3 * width * taps
    return State(3 * width * (taps - 1), heads * size * size, 4, weights, heads)


def _mamba2(fields: Fields) -> State | None:
    """Mamba2, in five spellings: Nemotron-H, Bamba and Granite, Zamba2, Falcon-H1, Mamba2 itself."""
    hidden = fields.first(*HIDDEN)
    heads = fields.first("mamba_num_heads", "mamba_n_heads", "n_mamba_heads")
    pure = fields.text("model_type") == "mamba2"
    if pure:
        heads = fields.first("num_heads")
    expand = fields.fraction("mamba_expand", "expand") or 2
    inner = fields.first("mamba_d_ssm") or int(expand * hidden)
    if not heads or fields.text("model_type") in ("jamba", "zamba"):
        return None
    size = fields.first("mamba_head_dim", "mamba_d_head", "mamba_headdim") or (fields.first("head_dim") if pure else 0)
    if fields.text("mamba_d_head") == "auto" or not size or "n_mamba_heads" in fields.written:
        size = inner // heads
    inner = heads * size
    groups = fields.first("n_groups", "mamba_n_groups", "mamba_ngroups") or 1
    wide = fields.first("ssm_state_size", "mamba_d_state", "state_size")
    taps = fields.first("conv_kernel", "mamba_d_conv") or 4
    channels = inner + 2 * groups * wide
    weights = hidden * (2 * inner + 2 * groups * wide + heads) + channels * taps + inner * hidden
    return State(channels * (taps - 1), inner * wide, _wide(fields), weights, heads)


def _mamba1(fields: Fields) -> State | None:
    """Mamba: Jamba, Mamba, FalconMamba, Phi-4-mini-flash."""
    if not (fields.first("mamba_d_state") or fields.first("state_size")):
        return None
    hidden = fields.first(*HIDDEN)
    expand = fields.fraction("mamba_expand", "expand") or 2
    inner = (0 if fields.first("mamba_d_state") else fields.first("intermediate_size")) or int(expand * hidden)
    wide, taps = fields.first("mamba_d_state", "state_size"), fields.first("mamba_d_conv", "conv_kernel") or 4
    rank = fields.first("mamba_dt_rank", "time_step_rank") or -(-hidden // 16)
    weights = (
        hidden * 2 * inner + inner * taps + inner * (rank + 2 * wide) + rank * inner + inner * wide + inner * hidden
    )
    return State(inner * (taps - 1), inner * wide, _wide(fields), weights, inner)


def _lightning(fields: Fields) -> State | None:
    """Lightning attention: MiniMax-01 and M1, Ling and Ring linear. No convolution; one matrix per head, in float32."""
    if not (
        fields.items("attn_type_list", "layer_attn_types")
        or fields.first("layer_group_size") > 1
        or _is_minimax(fields)
    ):
        return None
    heads, hidden = fields.first(*HEADS), fields.first(*HIDDEN)
    size = fields.first(*HEAD_DIM) or (hidden // heads if heads else 0)
    width = heads * size
    return State(0, heads * size * size, 4, 5 * hidden * width, heads)


def _is_minimax(fields: Fields) -> bool:
    return fields.text("model_type") == "minimax"


def _convolution(fields: Fields) -> State | None:
    """Short convolution: LFM2."""
    taps, hidden = fields.first("conv_L_cache"), fields.first("conv_dim", *HIDDEN)
    return State(hidden * (taps - 1), 0, 2, 4 * hidden * hidden + hidden * taps, hidden) if taps else None


def _recurrent(fields: Fields) -> State | None:
    """RG-LRU: RecurrentGemma."""
    width = fields.first("lru_width") or (fields.first(*HIDDEN) if fields.first("conv1d_width") else 0)
    taps, hidden = fields.first("conv1d_width") or 4, fields.first(*HIDDEN)
    return (
        State(width * (taps - 1), width, 4, 3 * hidden * width + width * taps + 2 * width * width, width)
        if width
        else None
    )


READERS: tuple[Callable[[Fields], State | None], ...] = (
    _kda,
    _gated_delta,
    _convolution,
    _recurrent,
    _mamba2,
    _mamba1,
    _lightning,
)
