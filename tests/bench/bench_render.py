#!/usr/bin/env python3
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Seconds to render all 1,024 ranks of one deployment on one core, and whether the cost per rank grows with them.

Prints one JSON object: ``seconds`` (1,024 ranks), ``per_rank_ms`` at 64 and at 1,024 ranks, and ``growth``, their ratio
in this run.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit"))
import conftest  # noqa: F401  makes the collection importable from the checkout
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.files import read_catalog
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.render import mistakes, render

ROUNDS = 3


def deployment(nnodes: int) -> list[dict[str, Any]]:
    """The options of every rank: 8 GPUs per node, pipeline parallel over the nodes."""
    return [
        {
            "engine": "vllm",
            "engine_version": read_catalog("vllm").versions[-1],
            "deployment": "large",
            "rank": rank,
            "nnodes": nnodes,
            "head_address": "198.18.0.1",
            "rank_address": f"198.18.{rank // 250}.{rank % 250 + 1}",
            "interface": "eth0",
            "model": "/srv/models/large",
            "served_model_name": "large",
            "tensor_parallel_size": 8,
            "pipeline_parallel_size": nnodes,
            "gpus_per_node": 8,
            "engine_args": {"max_model_len": 32768, "gpu_memory_utilization": 0.9, "enable_expert_parallel": True},
            "env": {"NCCL_IB_TIMEOUT": "22"},
            "runtime": "docker",
            "rdma": True,
            "image": "vllm/vllm-openai:pinned",
            "api_key": "sk-bench",
        }
        for rank in range(nnodes)
    ]


def seconds(nnodes: int) -> float:
    """Best of some rounds, so that a busy machine is not measured."""
    catalog = read_catalog("vllm")
    options = deployment(nnodes)
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.process_time()
        launches = [render(params, catalog) for params in options]
        best = min(best, time.process_time() - start)
    assert not any(map(mistakes, launches)), mistakes(launches[0])
    return best


def main() -> None:
    """Measure and print."""
    seconds(1)
    few, many = seconds(64), seconds(1024)
    per_rank = {"64": few / 64 * 1000, "1024": many / 1024 * 1000}
    result = {
        "bench": "render",
        "seconds": round(many, 3),
        "per_rank_ms": {ranks: round(cost, 3) for ranks, cost in per_rank.items()},
        "growth": round(per_rank["1024"] / per_rank["64"], 2),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
