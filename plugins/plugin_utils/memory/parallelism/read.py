# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From an engine's options to its parallel sizes, by engine and version. Pure.

The options are those that the catalog resolved: canonical name in snake case → value (`resolve` or `launch.options`).

Sources
-------
* vLLM: vllm/config/parallel.py and vllm/engine/arg_utils.py (0.8.5.post1 to 0.33.0); experts:
  vllm/model_executor/layers/fused_moe/config.py (FusedMoEParallelConfig: one group of tensor, data and prefill
  context parallel ranks);
  docs/serving/data_parallel_deployment.md.
* SGLang: sglang/srt/server_args.py (0.4.6.post5 to 0.5.12), sglang/srt/arg_groups/parallel_hook.py and overrides.py (0.5.20 to
  0.5.23): attention groups lie inside ``tp``; an all-to-all backend makes ``ep`` the whole tensor parallel group and holds shared
  experts whole on each GPU (sglang/srt/models/deepseek_v2.py).
* LMDeploy: lmdeploy/pytorch/config.py: DistConfig (0.8.0, 0.10.2, 0.18.0).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common.versions import numbers
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.parallelism.sizes import (
    EXTERNAL,
    HYBRID,
    INTERNAL,
    Parallel,
)

Values = Mapping[str, Any]

SGLANG_ALL_TO_ALL = frozenset(
    (
        *("ascend_fuseep", "deepep", "deepep_v2", "flashinfer", "flashinfer_megamoe", "megamoe"),
        *("mooncake", "mori", "nixl", "pplx"),
    )
)
"""Backends with which the expert parallel group is the tensor parallel group (overrides.py: _A2A_EP_SPANNING_BACKENDS)."""

VLLM_SEQUENCE_PARALLEL = frozenset(
    (
        *("allgather_reducescatter", "naive", "deepep_high_throughput", "deepep_low_latency", "deepep_v2"),
        *("flashinfer_nvlink_one_sided", "mori_high_throughput", "mori_low_latency", "nixl_ep"),
    )
)
"""Backends with which shared experts are whole on each GPU (use_sequence_parallel_moe of vllm/config/parallel.py)."""


def parallel(engine: str, version: str, values: Values, nnodes: int = 1) -> Parallel:
    """The sizes of a launch over ``nnodes`` nodes; an engine that is not known counts as vLLM. Never raises."""
    readers = {"sglang": _sglang, "lmdeploy": _lmdeploy}
    return readers.get(engine, _vllm)(numbers(version), values, max(1, nnodes))


def _size(values: Values, *names: str) -> int:
    """The first of these options that is set, as a size; what is missing or senseless is 1, and is for others to refuse."""
    for name in names:
        value = values.get(name)
        if isinstance(value, (int, str)) and not isinstance(value, bool) and str(value).isdigit():
            return max(1, int(value))
    return 1


def _number(value: Any) -> int:
    return int(value) if isinstance(value, (int, str)) and str(value).isdigit() else 0


def _vllm(version: tuple[int, ...], values: Values, nnodes: int) -> Parallel:
    tp, dp = _size(values, "tensor_parallel_size"), _size(values, "data_parallel_size")
    pcp, dcp = _size(values, "prefill_context_parallel_size"), _size(values, "decode_context_parallel_size")
    shards = tp * dp * pcp
    expert = values.get("enable_expert_parallel") is True
    eplb = values.get("eplb_config")
    redundant = eplb.get("num_redundant_experts") if isinstance(eplb, Mapping) else values.get("num_redundant_experts")
    backend = str(values.get("all2all_backend") or "allgather_reducescatter")
    whole_shared = expert and tp > 1 and dp > 1 and backend in VLLM_SEQUENCE_PARALLEL and version >= (0, 11)
    older = bool(version) and version < (0, 26)  # the KV cache was spread over both kinds of context parallel
    return Parallel(
        tp=tp,
        pp=_size(values, "pipeline_parallel_size"),
        dp=dp,
        pcp=pcp,
        ep=shards if expert else 1,
        expert_shards=shards,
        redundant_experts=_number(redundant),
        dense_tp=tp,
        shared_tp=1 if whole_shared else tp,
        kv_shards=dcp * pcp if older else dcp,
        nnodes=nnodes,
        balancing=_vllm_balancing(values, dp, nnodes),
    )


def _vllm_balancing(values: Values, dp: int, nnodes: int) -> str:
    """vllm/entrypoints/cli/serve.py; hybrid balancing with one copy on a node is external (arg_utils.py)."""
    if dp == 1 or nnodes == 1:
        return INTERNAL
    if values.get("data_parallel_external_lb"):
        return EXTERNAL
    if values.get("data_parallel_hybrid_lb"):
        return HYBRID if dp > nnodes else EXTERNAL
    return INTERNAL


def _sglang(version: tuple[int, ...], values: Values, nnodes: int) -> Parallel:
    tp, dp = _size(values, "tensor_parallel_size"), _size(values, "data_parallel_size")
    attention_dp = _size(values, "attention_data_parallel_size")
    if values.get("enable_dp_attention") and attention_dp == 1:
        attention_dp, dp = dp, 1
    all_to_all = str(values.get("moe_a2a_backend")) in SGLANG_ALL_TO_ALL
    all_to_all = all_to_all or any(values.get(name) for name in ("enable_deepep_moe", "enable_deepep_waterfill"))
    ep = _size(values, "expert_parallel_size")
    if version and version < (0, 4, 10):
        ep = 1  # the size alone had no effect yet
    if all_to_all or values.get("enable_ep_moe"):
        ep = tp
    dense = values.get("moe_dense_tp_size")
    return Parallel(
        tp=tp,
        pp=_size(values, "pipeline_parallel_size"),
        dp=dp,
        attention_dp=attention_dp,
        attention_cp=_size(values, "attention_context_parallel_size"),
        ep=ep,
        expert_shards=max(1, tp // _size(values, "moe_data_parallel_size")),
        redundant_experts=_number(values.get("ep_num_redundant_experts")),
        dense_tp=_number(dense) or tp,
        shared_tp=_number(values.get("shared_experts_tp_size")) or (1 if all_to_all else tp),
        kv_shards=_size(values, "decode_context_parallel_size"),
        nnodes=nnodes,
    )


def _lmdeploy(version: tuple[int, ...], values: Values, nnodes: int) -> Parallel:
    """TurboMind multiplies tensor and data parallel. PyTorch's data parallel groups share the GPUs of the tensor or expert
    parallel group; before 0.12 each had one GPU."""
    tp, dp, ep = _size(values, "tp"), _size(values, "dp"), _size(values, "ep")
    if ep == 1 and (values.get("backend") != "pytorch" or dp == 1):
        return Parallel(
            tp=tp, dp=dp, expert_shards=tp, dense_tp=tp, shared_tp=tp, kv_shards=_size(values, "cp"), nnodes=nnodes
        )
    world = max(tp, ep) if dp == 1 or not version or version >= (0, 12) else max(dp, tp, ep)
    return Parallel(
        tp=world,
        attention_dp=dp,
        ep=ep,
        expert_shards=world,
        dense_tp=world if dp == 1 else tp,
        shared_tp=world if dp == 1 else tp,
        nnodes=nnodes,
    )
