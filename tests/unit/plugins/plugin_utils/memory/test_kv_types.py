# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What kv_types has: what a value, a row and their scales take."""

from __future__ import annotations

import pytest
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.kv_cache import element_bytes, kv_per_token
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.model import architecture
from model_configs import MODEL_CONFIGS

CONFIGS = {row["model"].rpartition("/")[2]: row["config"] for row in MODEL_CONFIGS}
V32 = 61
HEADS = 32 * 8 * 2
"""Llama 3.1 8B: layers x KV heads x key and value, of 128 each."""


@pytest.mark.parametrize(
    "model, dtype, size",
    [
        ("DeepSeek-V3.2", "auto", V32 * (1152 + 132)),
        ("DeepSeek-V3.2", "fp8", V32 * (656 + 132)),
        ("DeepSeek-V3.2", "fp8_ds_mla", V32 * (656 + 132)),
        ("DeepSeek-V3.2", "nvfp4_ds_mla", V32 * (352 + 132)),
        ("DeepSeek-R1", "fp8", V32 * 576),
        ("DeepSeek-R1", "fp8_ds_mla", V32 * 656),
        ("DeepSeek-V4-Flash", "fp8", round(21 * (584 + 132) / 4 + 20 * 584 / 128)),
        ("Meta-Llama-3.1-8B", "fp8_e4m3", HEADS * 128),
        ("Meta-Llama-3.1-8B", "nvfp4", HEADS * 72),
        ("Meta-Llama-3.1-8B", "int8_per_token_head", HEADS * 132),
        ("Meta-Llama-3.1-8B", "int4", HEADS * 68),
        ("Meta-Llama-3.1-8B", "float32", HEADS * 512),
    ],
)
def test_bytes_per_token(model: str, dtype: str, size: int) -> None:
    shape, _ = architecture(CONFIGS[model])
    form, unknown = element_bytes(dtype, shape)
    assert kv_per_token(shape, form) == size
    assert not unknown


def test_an_unknown_type_counts_as_16_bit_with_a_finding() -> None:
    shape, _ = architecture(CONFIGS["Meta-Llama-3.1-8B"])
    form, unknown = element_bytes("fp12", shape)
    assert kv_per_token(shape, form) == HEADS * 256
    assert [one["code"] for one in unknown] == ["kv-dtype-unknown"]
