# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""States of each kind, in bytes for one request; the sizes are those of vLLM's MambaSpec for the published models."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.models.fields import Fields
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.models.state import state


@pytest.mark.parametrize(
    "fields, size",
    [
        # Qwen3.5-35B-A3B
        ({"hidden_size": 2048, "linear_num_key_heads": 16, "linear_num_value_heads": 32,
          "linear_key_head_dim": 128, "linear_value_head_dim": 128, "linear_conv_kernel_dim": 4}, 2146304),
        # Nemotron-H-56B
        ({"hidden_size": 8192, "mamba_num_heads": 256, "mamba_head_dim": 64, "ssm_state_size": 256, "n_groups": 8,
          "conv_kernel": 4}, 16900096),
        # Jamba v0.1
        ({"model_type": "jamba", "hidden_size": 4096, "mamba_d_state": 16, "mamba_d_conv": 4, "mamba_expand": 2}, 573440),
        # LFM2-1.2B
        ({"hidden_size": 2048, "conv_L_cache": 3}, 8192),
        # Kimi Linear: three convolutions and 32 matrices in float32
        ({"hidden_size": 2304, "linear_attn_config": {"num_heads": 32, "head_dim": 128,
                                                      "short_conv_kernel_size": 4}}, 73728 + 2097152),
        # MiniMax-M1
        ({"hidden_size": 6144, "num_attention_heads": 64, "head_dim": 128, "attn_type_list": [0, 1]}, 4194304),
    ],
)  # fmt: skip
def test_bytes_of_one_layer(fields: dict[str, Any], size: int) -> None:
    found = state(Fields(fields))
    assert found is not None and found.size(2) == size


def test_the_dtype_of_the_state_may_be_written() -> None:
    fields = {
        "hidden_size": 4096,
        "mamba_d_state": 16,
        "mamba_d_conv": 4,
        "mamba_ssm_dtype": "bfloat16",
        "model_type": "jamba",
    }
    found = state(Fields(fields))
    assert found is not None and found.wide_bytes == 2


def test_no_field_no_state() -> None:
    assert state(Fields({"hidden_size": 4096, "num_attention_heads": 32})) is None
