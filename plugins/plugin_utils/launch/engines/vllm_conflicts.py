# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What vLLM checks after parsing, read in 0.8.5.post1, 0.11.1 and 0.33.0."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.engines.conflicts import Conflict
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.engines.request import Request


def _fewer(values: Mapping[str, Any], small: str, large: str) -> bool:
    numbers = values.get(small), values.get(large)
    return all(isinstance(number, int) for number in numbers) and numbers[0] < numbers[1]  # type: ignore[operator]


def _over_nodes(request: Request) -> bool:
    return request.nnodes > 1 and request.executor == "native"


CONFLICTS = (
    Conflict(
        "batch-smaller-than-sequences",
        lambda request, values, sizes: _fewer(values, "max_num_batched_tokens", "max_num_seqs"),
        "max_num_batched_tokens",
        "max_num_batched_tokens is smaller than max_num_seqs",
        "each running sequence needs at least one token of the batch",
        "vllm/config/scheduler.py",
    ),
    Conflict(
        "batch-smaller-than-context",
        lambda request, values, sizes: (
            values.get("enable_chunked_prefill") is False and _fewer(values, "max_num_batched_tokens", "max_model_len")
        ),
        "max_num_batched_tokens",
        "without chunked prefill a batch must hold a whole prompt, but max_num_batched_tokens is below max_model_len",
        "raise it, lower max_model_len, or leave chunked prefill on",
        "vllm/config/scheduler.py: verify_max_model_len",
    ),
    Conflict(
        "memory-fraction",
        lambda request, values, sizes: not 0 < values.get("gpu_memory_utilization", 0.9) <= 1,
        "gpu_memory_utilization",
        "gpu_memory_utilization is a fraction of the GPU's memory",
        "write a number above 0 and up to 1",
        "vllm/config/cache.py",
    ),
    Conflict(
        "ray-data-parallel-over-nodes",
        lambda request, values, sizes: _over_nodes(request) and values.get("data_parallel_backend") == "ray",
        "data_parallel_backend",
        "native multi-node needs the data parallel backend mp",
        "leave it out",
        "vllm/engine/arg_utils.py: create_engine_config",
    ),
    Conflict(
        "hybrid-balancing-headless",
        lambda request, values, sizes: _over_nodes(request) and values.get("data_parallel_hybrid_lb"),
        "data_parallel_hybrid_lb",
        "ranks without HTTP exclude hybrid load balancing",
        "leave it out",
        "vllm/entrypoints/cli/serve.py: run_headless",
    ),
    Conflict(
        "ray-with-pipeline",
        lambda request, values, sizes: (
            request.executor == "ray" and request.nnodes > 1 and request.pipeline_parallel_size > 1
        ),
        "pipeline_parallel_size",
        "pipeline parallelism over Ray on several nodes dies of an assertion under load (ray#57587, SkyRL#1590)",
        "use the native executor (from 0.11.1 on) or vLLM 0.20 or newer",
        "ray#57587, NovaSky-AI/SkyRL#1590",
        since="0.10",
        until="0.19.999",
    ),
)
