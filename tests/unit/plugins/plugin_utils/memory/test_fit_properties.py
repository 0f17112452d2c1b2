# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever a config.json holds, the estimate answers; more memory and more GPUs never hold less."""

from __future__ import annotations

from typing import Any

from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.model import architecture
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.plan import parallel_plan
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.report import memory_fit
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_models import config_of, model_of

KNOWN = sorted({key for name in ("deepseek-r1", "glm-4.5", "qwen2.5-72b", "minimax-m2") for key in config_of(name)} | {
    "layer_types", "sliding_window_pattern", "full_attention_interval", "text_config", "vision_config", "index_head_dim"
})  # fmt: skip
KEYS = st.sampled_from(KNOWN) | st.text(max_size=4)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)
SMALL = st.integers(min_value=-1, max_value=70)
CONFIGS = st.dictionaries(st.sampled_from(KNOWN), SMALL | JSON, max_size=8)
NAMES = st.sampled_from(["deepseek-r1", "glm-4.5", "qwen2.5-72b", "minimax-m2"])
SOURCES = st.dictionaries(st.sampled_from(["index", "files", "total_size", "parameters", "dtype"]), JSON, max_size=2)
BENT = st.builds(  # a real config.json with some fields changed, so that most examples come to a verdict
    lambda name, change, size, rest: {"config": {**config_of(name), **change}, "total_size": size, **rest},
    NAMES,
    CONFIGS,
    st.integers(1, 10**13),
    SOURCES,
)
MODELS = BENT | st.builds(lambda config, rest: {"config": config, **rest}, CONFIGS | JSON, SOURCES) | JSON
FACTS = ("memory_mib", "compute_capability", "nodes", "gpus_per_node", "nvlink_domain", "rdma")
HARDWARE = st.builds(
    lambda name, facts: {"gpu": name, **facts},
    st.sampled_from(["H200", "A100", "T4", ""]),
    st.dictionaries(st.sampled_from(FACTS), SMALL | JSON, max_size=3),
)
SIZES = st.dictionaries(st.sampled_from(["tp", "pp", "dp", "ep", "dp_attention"]), SMALL | JSON)
ENGINES = st.sampled_from(["sglang", "vllm", "lmdeploy", "other"])
OPTIONS = ["mem_fraction_static", "max_model_len", "max_num_seqs", "quantization", "kv_cache_dtype"]
ARGS = st.dictionaries(st.sampled_from(OPTIONS), JSON, max_size=3)
VERDICTS = {"fits", "tight", "does not fit", "unknown"}


def shaped(findings: list[dict[str, Any]]) -> bool:
    keys = {"severity", "code", "where", "message", "remedy", "data"}
    return all(set(one) == keys and one["severity"] in ("fail", "warn", "info") and one["message"] for one in findings)


@settings(max_examples=100, deadline=None)
@given(MODELS, HARDWARE, SIZES, ENGINES, ARGS)
def test_anything_in_never_an_exception(model: Any, hardware: Any, sizes: Any, engine: str, args: Any) -> None:
    result = memory_fit(model, hardware, sizes, engine, engine_args=args, context_length=sizes.get("tp"))
    assert result["verdict"] in VERDICTS
    assert shaped(result["findings"])
    assert result["verdict"] != "unknown" or any(one["severity"] == "fail" for one in result["findings"])


@settings(max_examples=60, deadline=None)
@given(MODELS, HARDWARE | JSON, ENGINES, ARGS)
def test_any_plan_is_sound_or_refused_with_a_reason(model: Any, hardware: Any, engine: str, args: Any) -> None:
    plan = parallel_plan(model, hardware, engine, engine_args=args)
    assert shaped(plan["findings"])
    failed = [one for one in plan["findings"] if one["severity"] == "fail"]
    assert plan["ok"] != bool(failed)
    assert not plan["ok"] or plan["fit"]["verdict"] == "fits"


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["deepseek-r1", "glm-4.5", "kimi-k2", "minimax-m2"]),
    st.integers(0, 5),
    st.integers(20_000, 300_000),
    st.integers(0, 100_000),
)
def test_more_never_holds_less(name: str, doublings: int, mib: int, more: int) -> None:
    """With a fixed fraction: SGLang's own one keeps more free the more GPUs there are."""

    def tokens(tp: int, memory: int, context: int = 0) -> dict[str, Any]:
        fixed = {"mem_fraction_static": 0.85}
        return memory_fit(model_of(name), {"memory_mib": memory}, {"tp": tp}, engine_args=fixed, context_length=context)

    tp = 2**doublings
    base = tokens(tp, mib)
    assert tokens(2 * tp, mib)["tokens_that_fit"] >= base["tokens_that_fit"]
    assert tokens(2 * tp, mib)["weights_per_gpu_bytes"] <= base["weights_per_gpu_bytes"]
    assert tokens(tp, mib + more)["tokens_that_fit"] >= base["tokens_that_fit"]
    order = ["does not fit", "tight", "fits"]
    assert order.index(tokens(tp, mib, 4096)["verdict"]) >= order.index(tokens(tp, mib, 65536)["verdict"])


@settings(max_examples=100, deadline=None)
@given(CONFIGS | JSON)
def test_a_config_is_read_without_negative_sizes(config: Any) -> None:
    shape, found = architecture(config)
    assert shaped(found)
    assert min(shape.parameters, shape.attention_layers, shape.moe_layers, shape.expert_parameters) >= 0
