# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What SGLang asserts after parsing: ``ServerArgs.check_server_args`` and ``__post_init__``, read in 0.4.3.post2,
0.4.8.post1, 0.5.2, 0.5.5 and 0.5.23 (there arg_groups/validation_hook.py). Between two versions that were read, a
check counts from the older one that has it to the newer one that still has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.engines.conflicts import Conflict
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.engines.request import Request
from ansible_collections.fullrank.serving.plugins.plugin_utils.parallelism.sizes import Parallel

CHECK = "sglang/srt/server_args.py: check_server_args"
HOOK = "sglang/srt/arg_groups/validation_hook.py: check_server_args"


def _not_multiple(values: Mapping[str, Any], number: str, divisor: str) -> bool:
    return bool(values.get(number, 0) > 0 and values.get(divisor) and values[number] % values[divisor])


def _replicas_over_nodes(request: Request, values: Mapping[str, Any], sizes: Parallel) -> bool:
    return sizes.dp > 1 and sizes.nnodes > 1


def _dp_attention(request: Request, values: Mapping[str, Any], sizes: Parallel) -> bool:
    return sizes.tp % sizes.attention_dp != 0


def _beyond_the_last_gpu(request: Request, values: Mapping[str, Any], sizes: Parallel) -> bool:
    if request.usable_gpus is None or request.nnodes < 1:
        return False
    each = int(sizes.gpus_per_node)
    return values.get("base_gpu_id", 0) > 0 and values["base_gpu_id"] + each > request.usable_gpus


CONFLICTS = (
    Conflict(
        "base-gpu-beyond-the-last",
        _beyond_the_last_gpu,
        "base_gpu_id",
        "counted from base_gpu_id on, the node has too few GPUs",
        "leave it out and name the GPUs of the engine instead",
        "sglang/srt/managers/scheduler.py: gpu_id = base_gpu_id + rank on the node",
    ),
    Conflict(
        "replicas-over-nodes",
        _replicas_over_nodes,
        "data_parallel_size",
        "copies of the model cannot be spread over nodes",
        "add engine_args.enable_dp_attention for models that know it, or put several deployments behind a router",
        CHECK,
    ),
    Conflict(
        "dp-attention-sizes",
        _dp_attention,
        "data_parallel_size",
        "attention data parallelism divides the tensor parallel group",
        "write a data parallel size that divides the tensor parallel size",
        "sglang/srt/server_args.py: __post_init__",
    ),
    Conflict(
        "chunk-not-multiple-of-page",
        lambda request, values, sizes: _not_multiple(values, "chunked_prefill_size", "page_size"),
        "chunked_prefill_size",
        "chunked_prefill_size must be a multiple of page_size",
        "round one of them",
        CHECK,
        since="0.5.2",
    ),
    Conflict(
        "speculation-with-mixed-chunk",
        lambda request, values, sizes: values.get("speculative_algorithm") and values.get("enable_mixed_chunk"),
        "enable_mixed_chunk",
        "mixed chunks and speculative decoding exclude each other",
        "leave one of them out",
        CHECK,
        since="0.5.2",
        until="0.5.5.post3",
    ),
    Conflict(
        "pipeline-with-speculation",
        lambda request, values, sizes: request.pipeline_parallel_size > 1 and values.get("speculative_algorithm"),
        "speculative_algorithm",
        "pipeline parallelism and speculative decoding exclude each other",
        "leave one of them out",
        CHECK,
        since="0.4.8",
        until="0.5.5.post3",
    ),
    Conflict(
        "pipeline-with-mixed-chunk",
        lambda request, values, sizes: request.pipeline_parallel_size > 1 and values.get("enable_mixed_chunk"),
        "enable_mixed_chunk",
        "pipeline parallelism and mixed chunks exclude each other",
        "leave one of them out",
        CHECK,
        since="0.4.8",
        until="0.5.5.post3",
    ),
    Conflict(
        "lora-with-cuda-graph",
        lambda request, values, sizes: values.get("lora_paths") and not values.get("disable_cuda_graph"),
        "lora_paths",
        "LoRA adapters do not work with CUDA graphs",
        "add disable_cuda_graph: true",
        CHECK,
        until="0.4.3.post4",
    ),
    Conflict(
        "lora-with-radix-cache",
        lambda request, values, sizes: values.get("lora_paths") and not values.get("disable_radix_cache"),
        "lora_paths",
        "LoRA adapters do not work with the radix cache",
        "add disable_radix_cache: true",
        CHECK,
        until="0.4.8.post1",
    ),
    Conflict(
        "compile-without-padding",
        lambda request, values, sizes: values.get("enable_torch_compile") and values.get("disable_cuda_graph_padding"),
        "disable_cuda_graph_padding",
        "without padding torch.compile would compile every batch size, for many minutes",
        "leave one of them out",
        HOOK,
        since="0.5.23",
    ),
    Conflict(
        "colon-in-served-name",
        lambda request, values, sizes: ":" in str(request.served_model_name or ""),
        "served_model_name",
        "a colon separates model and LoRA adapter in what clients ask for",
        "write another character",
        HOOK,
        since="0.5.23",
    ),
    Conflict(
        "priority-policy",
        lambda request, values, sizes: (
            values.get("enable_priority_scheduling") and values.get("schedule_policy", "fcfs") not in ("fcfs", "lof")
        ),
        "schedule_policy",
        "priorities need the policy fcfs or lof",
        "write fcfs or lof",
        CHECK,
        since="0.5.5",
    ),
)
