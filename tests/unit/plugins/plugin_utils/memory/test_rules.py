# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What GPUs without FP8 do with FP8 checkpoints, by engine and release."""

from __future__ import annotations

import pytest
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.engines import engine
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.gpus import gpu
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.model import architecture
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.plan import parallel_plan
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.report import memory_fit
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.rules import capability_findings
from memory_logs import model
from memory_models import codes, model_of

UNABLE, HELD, NONE = "fp8-unsupported", "fp8-weight-only", ""


@pytest.mark.parametrize("name, board, engine_name, release, expected", [
    # experts and blocks of weights: vLLM from 0.9.0 (wheels 0.8.5 and 0.9.0), SGLang not in 0.5.23
    ("qwen3-30b-a3b-fp8", "NVIDIA A100-SXM4-80GB", "vllm", "0.8.5", UNABLE),
    ("qwen3-30b-a3b-fp8", "NVIDIA A100-SXM4-80GB", "vllm", "0.9.0", HELD),
    ("qwen3-30b-a3b-fp8", "NVIDIA A10", "vllm", "0.19.0", HELD),
    ("qwen3-30b-a3b-fp8", "NVIDIA A100-SXM4-80GB", "vllm", None, HELD),
    ("qwen3-30b-a3b-fp8", "NVIDIA A100-SXM4-80GB", "sglang", "0.5.23", UNABLE),
    ("qwen3-30b-a3b-fp8", "NVIDIA A100-SXM4-80GB", "lmdeploy", None, UNABLE),
    # layers without experts and blocks: earlier
    ("llama-3.3-70b-fp8-dynamic", "NVIDIA A100-SXM4-80GB", "vllm", "0.7.3", HELD),
    ("llama-3.3-70b-fp8-dynamic", "NVIDIA A100-SXM4-80GB", "sglang", "0.5.5", HELD),
    # the kernels need 8.0; from 8.9 on nothing is missing
    ("qwen3-30b-a3b-fp8", "Tesla T4", "vllm", "0.19.0", UNABLE),
    ("qwen3-30b-a3b-fp8", "NVIDIA L4", "vllm", "0.8.5", NONE),
    ("qwen3-30b-a3b-fp8", "NVIDIA H100 80GB HBM3", "sglang", "0.5.5", NONE),
    ("qwen3-30b-a3b", "NVIDIA A100-SXM4-80GB", "vllm", "0.19.0", NONE),
])  # fmt: skip
def test_fp8_without_fp8(name: str, board: str, engine_name: str, release: str | None, expected: str) -> None:
    shape, _ = architecture(model(name)["config"])
    found = [one["code"] for one in capability_findings(shape, gpu({"gpu": board}), engine(engine_name, release))]
    assert [code for code in found if code.startswith("fp8")] == ([expected] if expected else [])


def test_weight_only_weights_are_counted_in_fp8_and_the_cost_is_in_the_message() -> None:
    """DeepSeek-R1 on 16 x A100 with vLLM: no conversion is needed, so two nodes do what four do with BF16."""
    result = memory_fit(model_of("deepseek-r1"), {"gpu": "A100", "nodes": 2}, {"tp": 8, "pp": 2}, "vllm")
    found = next(one for one in result["findings"] if one["code"] == HELD)
    assert found["severity"] == "warn" and "no faster" in found["message"]
    assert result["weights_per_gpu_bytes"] < 45 * 1024**3
    plan = parallel_plan(model_of("deepseek-r1"), {"gpu": "A100", "nodes": 2}, "vllm")
    assert plan["ok"] and plan["dtype"] == ""


def test_sparse_attention_has_no_backend_below_9_0() -> None:
    result = memory_fit(model("deepseek-v3.2"), {"gpu": "A100", "nodes": 2}, {"tp": 8, "pp": 2}, "vllm")
    assert "sparse-attention-unsupported" in codes(result)
    assert "sparse-attention-unsupported" not in codes(
        memory_fit(model("deepseek-v3.2"), {"gpu": "H200"}, {"tp": 8}, "vllm")
    )
