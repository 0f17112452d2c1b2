# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The memory estimate against what engines' logs and model authors say."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.kv_cache import kv_per_token
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.model import architecture
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.parallelism.declared import declared
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.report import memory_fit
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.rules import divisibility
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.weights import per_gpu, weights
from memory_models import GIB, R1_BY_DTYPE, VECTORS, codes, config_of, label, model_of


@pytest.mark.parametrize("vector", VECTORS["kv_bytes_per_token"], ids=label)
def test_kv_bytes_per_token(vector: dict[str, Any]) -> None:
    shape, _ = architecture(config_of(vector["model"]))
    assert kv_per_token(shape, 2.0) == vector["bytes"]


def test_latent_attention_is_not_counted_as_heads() -> None:
    """num_key_value_heads x head_dim is 25 times too much for DeepSeek."""
    config = config_of("deepseek-r1")
    left_out = ("kv_lora_rank", "v_head_dim", "model_type", "architectures")  # without its type no class fills the gap
    trap = {key: value for key, value in config.items() if key not in left_out}
    assert kv_per_token(architecture(trap)[0], 2.0) == 1748992
    assert kv_per_token(architecture(config)[0], 2.0) == 70272


@pytest.mark.parametrize("vector", VECTORS["fits"], ids=label)
def test_published_fits(vector: dict[str, Any]) -> None:
    model = model_of(vector["model"], **({"dtype": vector["dtype"]} if "dtype" in vector else {}))
    result = memory_fit(
        model,
        {"gpu": vector["gpu"]},
        {"tp": vector["tp"]},
        engine_args=vector.get("args"),
        context_length=vector.get("context"),
    )
    assert result["verdict"] == vector["verdict"], result["summary"]


@pytest.mark.parametrize("vector", VECTORS["divisible"], ids=label)
def test_divisibility(vector: dict[str, Any]) -> None:
    model = model_of(vector["model"], dtype=vector.get("dtype"))
    shape = weights(model, architecture(model["config"])[0]).shape
    found = [one for one in divisibility(shape, declared("sglang", None, vector)) if one["severity"] == "fail"]
    assert (not found) == vector["ok"], found
    messages = " ".join(one["message"] for one in found)
    assert all(shard in messages for shard in vector.get("shards", []))


@pytest.mark.parametrize("vector", VECTORS["measured"], ids=lambda v: f"{v['what']}-{v.get('gib', '')}")
def test_measured(vector: dict[str, Any]) -> None:
    model = model_of("deepseek-r1")
    shape, _ = architecture(model["config"])
    if vector["what"] == "kv pool":
        assert vector["gib"] * GIB / vector["tokens"] == pytest.approx(kv_per_token(shape, 2.0), rel=1e-3)
        return
    held, _, _ = per_gpu(weights(model, shape), declared("sglang", None, vector))
    if vector["what"] == "weights":  # without the multi token prediction layer, which vLLM leaves on disk
        assert held / GIB == pytest.approx(vector["gib"], rel=0.02)
    else:
        assert vector["before_gib"] - held / GIB == pytest.approx(vector["after_gib"], abs=0.5)


def test_fp8_doubles_exactly_with_counts_by_dtype_and_nearly_without() -> None:
    shape, _ = architecture(config_of("deepseek-r1"))
    exact = weights(model_of("deepseek-r1", parameters=R1_BY_DTYPE, dtype="bfloat16"), shape)
    near = weights(model_of("deepseek-r1", dtype="bfloat16"), shape)
    assert exact.total == 2 * (R1_BY_DTYPE["F8_E4M3"] + R1_BY_DTYPE["BF16"]) == 1368979660800
    assert near.total == pytest.approx(exact.total, rel=0.0005)
    assert not near.shape.quantization.method
    assert near.arithmetic[-1]["value"] == near.total


@pytest.mark.parametrize(
    "model, total",
    [
        ({"parameters": R1_BY_DTYPE}, 688574839360),
        ({"index": {"metadata": {"total_size": 7}}}, 7),
        ({"files": [{"path": "a.safetensors", "size": 3}, {"path": "b.bin", "size": 9}]}, 3),
        (
            {
                "index": {"weight_map": {"x": "a.safetensors"}, "metadata": {"total_size": 2}},
                "files": [{"path": "a.safetensors", "size": 3}, {"path": "consolidated.safetensors", "size": 5}],
            },
            3,
        ),
        ({"index": {"weight_map": {"x": "a", "y": "b"}, "metadata": {"total_size": 2}}, "files": [{"path": "a"}]}, 2),
    ],
)
def test_where_the_size_comes_from(model: dict[str, Any], total: int) -> None:
    shape, _ = architecture(config_of("deepseek-r1"))
    assert weights(model, shape).total == total


def test_quantized_checkpoint_without_a_size_is_refused() -> None:
    result = memory_fit({"config": config_of("deepseek-r1")}, {"gpu": "H200"}, {"tp": 8})
    assert result["verdict"] == "unknown"
    assert "weights-size-unknown" in codes(result)
    assert "parameters x dtype is no estimate" in result["summary"]


def test_parameters_by_config_agree_with_the_published_count() -> None:
    shape, _ = architecture(config_of("deepseek-r1"))
    assert shape.parameters == pytest.approx(sum(R1_BY_DTYPE.values()) - R1_BY_DTYPE["F32"], rel=0.001)
    shape, _ = architecture(config_of("glm-4.5"))
    assert shape.parameters == pytest.approx(358337791296, rel=0.01)


def test_fp8_on_a100_proposes_bf16_and_shows_what_it_costs() -> None:
    result = memory_fit(model_of("deepseek-r1"), {"gpu": "NVIDIA A100-SXM4-80GB", "gpus_per_node": 8}, {"tp": 16})
    found = next(one for one in result["findings"] if one["code"] == "fp8-unsupported")
    assert found["severity"] == "fail"
    assert "1369005654408 bytes instead of 688586727753, at least 24 of these GPUs" in found["remedy"]
    assert "quantization_config" in found["remedy"] and "INT8" in found["remedy"]


@pytest.mark.parametrize("gpu_name", ["NVIDIA L40S", "NVIDIA H20", "AMD Instinct MI300X", "NVIDIA B200"])
def test_fp8_runs_from_8_9_on(gpu_name: str) -> None:
    assert "fp8-unsupported" not in codes(memory_fit(model_of("deepseek-r1"), {"gpu": gpu_name}, {"tp": 16}))


def test_kv_heads_are_replicated_when_there_are_fewer_than_ranks() -> None:
    sixteen = memory_fit(model_of("llama-3.1-405b"), {"gpu": "H100"}, {"tp": 16})
    eight = memory_fit(model_of("llama-3.1-405b"), {"gpu": "H100"}, {"tp": 8})
    assert sixteen["kv_bytes_per_token_per_gpu"] == eight["kv_bytes_per_token_per_gpu"] == 516096 // 8
    assert sixteen["replicated_per_gpu_bytes"] > 0 == eight["replicated_per_gpu_bytes"]


def test_attention_data_parallel_multiplies_the_tokens_not_the_gpus() -> None:
    alone = memory_fit(model_of("deepseek-r1"), {"gpu": "H200"}, {"tp": 8})
    groups = memory_fit(model_of("deepseek-r1"), {"gpu": "H200"}, {"tp": 8, "dp": 8, "dp_attention": True})
    assert groups["gpus"] == alone["gpus"] == 8
    assert groups["weights_per_gpu_bytes"] > alone["weights_per_gpu_bytes"]
    assert groups["tokens_that_fit_in_all"] == 8 * groups["tokens_that_fit"] > alone["tokens_that_fit"]


def test_vllm_cuts_experts_over_all_data_parallel_copies() -> None:
    """192 features per expert shard at tensor parallel 4 times data parallel 2, and half of the experts' bytes."""
    model = {**model_of("qwen3-235b-a22b-fp8"), "total_size": 236_000_000_000}
    alone = memory_fit(model, {"gpu": "H20"}, {"tp": 4}, "vllm")
    copies = memory_fit(model, {"gpu": "H20"}, {"tp": 4, "dp": 2}, "vllm")
    assert "fp8-block-indivisible" not in codes(alone) and "fp8-block-indivisible" in codes(copies)
    assert copies["weights_per_gpu_bytes"] < 0.6 * alone["weights_per_gpu_bytes"]
    assert "fp8-block-indivisible" not in codes(memory_fit(model, {"gpu": "H20"}, {"tp": 4, "dp": 2}, "sglang"))


def test_the_fullest_pipeline_stage_counts() -> None:
    staged = memory_fit(model_of("deepseek-r1"), {"gpu": "H100"}, {"tp": 8, "pp": 2}, "vllm")
    assert staged["kv_bytes_per_token_per_gpu"] == 31 * 576 * 2
    assert "layers-uneven" in codes(staged)


def test_vllm_refuses_a_context_that_its_pool_cannot_hold() -> None:
    result = memory_fit(model_of("deepseek-r1"), {"gpu": "H20"}, {"tp": 8}, "vllm")
    found = next(one for one in result["findings"] if one["code"] == "tight")
    assert found["severity"] == "fail" and "gpu_memory_utilization: 0.95" in found["remedy"]


@pytest.mark.parametrize("release, fraction", [("0.11.0", 0.9), ("0.19.1", 0.9), ("0.20.0", 0.92), (None, 0.9)])
def test_vllm_fraction_by_release(release: str | None, fraction: float) -> None:
    result = memory_fit(model_of("deepseek-r1"), {"gpu": "H200"}, {"tp": 8}, "vllm", engine_version=release)
    assert result["fraction"] == fraction


@pytest.mark.parametrize(
    "name, args, per_token",
    [
        ("sglang", {"kv_cache_dtype": "fp8_e4m3"}, 35136),
        ("vllm", {"--kv-cache-dtype": "fp8"}, 35136),
        ("lmdeploy", {"quant_policy": 8}, 35136),
        ("sglang", {"kv_cache_dtype": "auto"}, 70272),
    ],
)
def test_kv_dtype_is_read_in_the_engines_own_words(name: str, args: dict[str, Any], per_token: int) -> None:
    result = memory_fit(model_of("deepseek-r1"), {"gpu": "H200"}, {"tp": 8}, name, engine_args=args)
    assert result["kv_bytes_per_token"] == per_token


def test_sparse_attention_caches_an_indexer_key_too() -> None:
    config = {**config_of("deepseek-r1"), "index_head_dim": 128}
    assert kv_per_token(architecture(config)[0], 2.0) == 61 * (576 * 2 + 132)


@pytest.mark.parametrize(
    "change, code",
    [
        (
            {
                "layer_types": ["sliding_attention", "full_attention"] * 40,
                "sliding_window": 4096,
                "use_sliding_window": True,
            },
            "sliding-window",
        ),
        ({"full_attention_interval": 4}, "state-not-counted"),
        ({"mamba_d_state": 16}, "fields-not-understood"),
        ({"model_type": "new_type"}, "family-unknown"),
        ({"layer_types": ["spiral_attention"] * 80}, "layer-kind-unknown"),
        ({"num_hidden_layers": None}, "config-incomplete"),
    ],
)
def test_what_is_not_known_is_reported(change: dict[str, Any], code: str) -> None:
    config = {**config_of("qwen2.5-72b"), **change}
    assert code in codes(memory_fit({"config": config}, {"gpu": "H100"}, {"tp": 8}))


def test_a_vision_model_is_read_from_its_text_config() -> None:
    inner = config_of("qwen2.5-72b")
    config = {"model_type": "qwen2_5_vl", "text_config": inner, "vision_config": {"depth": 32}}
    result = memory_fit({"config": config}, {"gpu": "H100"}, {"tp": 8})
    assert result["kv_bytes_per_token"] == 327680
    assert "config-nested" in codes(result)


def test_more_gpus_than_there_are() -> None:
    hardware = {"gpu": "H100", "nodes": 1, "gpus_per_node": 8}
    assert "gpus-too-few" in codes(memory_fit(model_of("deepseek-r1"), hardware, {"tp": 16}))


def test_unknown_gpu_and_engine() -> None:
    result = memory_fit(model_of("deepseek-r1"), {"gpu": "X1"}, {"tp": 8}, "tgi")
    assert result["verdict"] == "unknown"
    assert {"gpu-unknown", "engine-unknown"} <= codes(result)
