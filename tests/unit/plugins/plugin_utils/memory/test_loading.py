# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bytes of a checkpoint beside bytes on a GPU."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.loading import mxfp4_padding
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.model import architecture
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.parallelism.declared import declared
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.report import memory_fit
from memory_logs import GIB, model


def held(name: str, sizes: dict[str, Any], engine: str = "vllm", **args: Any) -> float:
    fit = memory_fit(model(name), {"gpu": "H200"}, sizes, engine, engine_args=args)
    return float(fit["weights_per_gpu_bytes"]) / GIB


@pytest.mark.parametrize("name, release, tp, printed, near", [
    ("deepseek-r1", "0.8.5", 8, 79.7, 0.01),
    ("gpt-oss-120b", "0.10.1", 1, 65.97, 0.01),
    ("gpt-oss-120b", "0.14.0", 1, 64.38, 0.01),
    ("gpt-oss-20b", "0.14.0", 1, 13.47, 0.01),
    ("gpt-oss-20b", "0.19.0", 2, 7.01, 0.03),
    ("gpt-oss-120b", "0.28.0", 8, 9.98, 0.16),  # on RTX PRO 4500: more than is explained
])  # fmt: skip
def test_weights_as_the_logs_have_them(name: str, release: str, tp: int, printed: float, near: float) -> None:
    fit = memory_fit(model(name), {"gpu": "H200"}, {"tp": tp}, "vllm", engine_version=release)
    assert fit["weights_per_gpu_bytes"] / GIB == pytest.approx(printed, rel=near)


def test_the_draft_layer_is_loaded_for_speculative_decoding_only() -> None:
    plain, drafting = (
        held("deepseek-r1", {"tp": 8}),
        held("deepseek-r1", {"tp": 8}, speculative_config={"method": "mtp"}),
    )
    assert drafting - plain == pytest.approx(14e9 / 8 / GIB, rel=0.1)  # 14 billion parameters, most of them in one byte


def test_attention_groups_hold_the_embedding_whole() -> None:
    fit = memory_fit(model("deepseek-r1"), {"gpu": "H200"}, {"tp": 8, "dp": 8, "dp_attention": True})
    labels = [one["label"] for one in fit["arithmetic"]]
    assert "embedding, whole on each GPU" in labels and "latent attention, for decoding once more" in labels


@pytest.mark.parametrize(
    "unit, tp, inner", [(128, 1, 2944 / 2880), (64, 1, 1), (64, 2, 1472 / 1440), (64, 8, 384 / 360)]
)
def test_experts_are_padded_to_what_the_kernels_take(unit: int, tp: int, inner: float) -> None:
    """2880 features become 3072 outside; inside what a GPU holds of them becomes a multiple of 64 or 128."""
    shape, _ = architecture(model("gpt-oss-120b")["config"])
    grown = inner * 3072 / 2880 - 1
    assert 0.9 * grown < mxfp4_padding(shape, declared("vllm", None, {"tp": tp}), unit) < grown
