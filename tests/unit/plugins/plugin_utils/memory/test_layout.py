# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The layout of layers in each engine's pool: what grows, what each request takes."""

from __future__ import annotations

import pytest
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.engines import engine
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.layout import Cost, cost, grouping, window_share
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.model import Architecture, architecture
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.parallelism.sizes import Parallel
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.report import memory_fit
from model_configs import MODEL_CONFIGS

CONFIGS = {row["model"].rpartition("/")[2]: row["config"] for row in MODEL_CONFIGS}
GEMMA, OSS, R1 = "Gemma-3-27B", "gpt-oss-120b", "DeepSeek-R1"


def shape(name: str) -> Architecture:
    return architecture(CONFIGS[name])[0]


def spent(name: str, engine_name: str, args: dict[str, object] | None = None, release: str | None = None) -> Cost:
    batched = 2048 if engine_name == "vllm" else 0
    return cost(shape(name), Parallel(), 2.0, engine(engine_name, release, args), context=131072, batched=batched)


def test_vllm_frees_windows_and_sglang_only_for_some_families() -> None:
    assert spent(GEMMA, "vllm").per_token == 10 * 8192
    assert spent(GEMMA, "sglang").per_token == spent(GEMMA, "lmdeploy").per_token == 62 * 8192
    assert spent(OSS, "vllm").per_token == 36864
    assert spent(OSS, "sglang").per_token == round(36864 * 1.8)
    assert spent(OSS, "sglang", {"swa_full_tokens_ratio": 0.5}).per_token == 36864 * 1.5
    assert spent(OSS, "sglang", {"disable_hybrid_swa_memory": True}).per_token == 36864 * 2


@pytest.mark.parametrize("release, args", [("0.9.0", None), (None, {"disable_hybrid_kv_cache_manager": True})])
def test_vllm_without_its_hybrid_manager_keeps_every_token(release: str | None, args: dict[str, object] | None) -> None:
    assert spent(GEMMA, "vllm", args, release).per_token == 62 * 8192
    assert window_share(shape(GEMMA), engine("vllm", release, args)) == 1.0


def test_constants_of_a_request_and_of_the_running_step() -> None:
    found = spent(GEMMA, "vllm")
    layers = 52 * 60 / 52  # six groups of ten
    assert found.per_request == round(layers * 8192 * 1024)
    assert found.once == 52 * 8192 * 2048
    assert spent("Qwen3.5-27B", "sglang").per_request == 0  # a pool of its own
    assert spent("Qwen3.5-27B", "vllm").per_request == 153944064


def test_groups_of_one_size() -> None:
    assert grouping(shape(R1)) == {}
    assert grouping(shape(OSS)) == {"full": 1.0, "window-128": 1.0}
    assert grouping(shape(GEMMA)) == {"full": 1.0, "window-1024": 60 / 52}


def test_tokens_of_a_pool() -> None:
    found = Cost(per_token=10, least=2, per_request=100, once=50)
    assert (found.tokens(1150, 1), found.tokens(1150, 2), found.tokens(1150, 1, hopeful=True)) == (100, 90, 500)
    assert (Cost(per_request=10).tokens(100, 5), Cost(per_request=10).tokens(40, 5)) == (10**9, 0)


def test_an_unknown_family_is_not_refused_by_its_upper_end() -> None:
    sizes = {"num_hidden_layers": 64, "hidden_size": 4096, "num_attention_heads": 64, "intermediate_size": 16384}
    config = {"model_type": "tomorrow", "vocab_size": 128000, "max_position_embeddings": 131072, **sizes}
    result = memory_fit({"config": config}, {"gpu": "H100"}, {"tp": 1}, "vllm")
    low, high = result["kv_bytes_per_token_range"]
    assert low < high and result["tokens_that_fit"] < 131072
    assert result["verdict"] == "tight" and not any(one["severity"] == "fail" for one in result["findings"])


def test_a_context_as_people_write_it() -> None:
    config, tokens = {"config": CONFIGS["Meta-Llama-3.1-8B"]}, {}
    for written in ("32k", "32K", "25.6k", 4096, "auto", -1, None):
        args = {"max_model_len": written} if written else {}
        tokens[written] = memory_fit(config, {"gpu": "H100"}, {"tp": 1}, "vllm", engine_args=args)["context_length"]
    assert tokens == {"32k": 32000, "32K": 32768, "25.6k": 25600, 4096: 4096, "auto": 2048, -1: 2048, None: 131072}
    assert memory_fit(config, {"gpu": "H100"}, {"tp": 1}, "sglang", context_length="16K")["context_length"] == 16384
