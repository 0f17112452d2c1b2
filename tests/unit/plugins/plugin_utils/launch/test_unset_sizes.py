# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A launch without parallel sizes is refused with the sizes that would do, where model and GPUs are declared."""

from __future__ import annotations

import re
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch import rules, unset_sizes
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.engines.call import Call
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.engines.request import Request
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.parallelism.read import parallel
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.parallelism.resolve import sizes_as_options
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.parallelism.sizes import Parallel
from memory_models import model_of

SOUND: dict[str, Any] = {
    "engine": "sglang", "engine_version": "0.5.9", "rank": 1, "nnodes": 2, "head_address": "192.0.2.10",
    "rank_address": "192.0.2.11", "interface": "eth0", "model": "/srv/models/r1", "served_model_name": "r1",
    "gpus_per_node": 8, "api_key": "sk-0123456789", "model_info": model_of("deepseek-r1"),
    "hardware": {"gpu": "NVIDIA H20", "gpus_per_node": 8, "rdma": True},
}  # fmt: skip


def sizes(request: Request) -> Parallel:
    options = {**sizes_as_options(request.engine, request.sizes), **request.engine_args}
    return parallel(request.engine, request.engine_version, options, request.nnodes)


def remedy(changes: dict[str, Any]) -> str:
    request = Request.from_options(SOUND | changes)
    call = Call(("engine",), {}, {}, rendezvous_port=25000)
    found = {one["code"]: one["remedy"] for one in rules.check(request, call, {}, sizes(request))}
    return found.get("sizes-against-nodes", "")


@pytest.mark.parametrize("changes, written", [
    ({}, "engine_tensor_parallel_size: 16"),
    ({"engine": "vllm", "engine_version": "0.19.0"}, "engine_tensor_parallel_size: 8 and engine_pipeline_parallel_size: 2"),
    ({"hardware": {"gpu": "A100"}, "nnodes": 4}, "engine_tensor_parallel_size: 32, with weights converted to BF16"),
])  # fmt: skip
def test_sizes_are_proposed(changes: dict[str, Any], written: str) -> None:
    assert remedy(changes) == f"no size is set; the memory plan chooses {written}"


@pytest.mark.parametrize("changes", [{}, {"engine": "vllm", "engine_version": "0.19.0"}])
def test_the_proposal_is_accepted(changes: dict[str, Any]) -> None:
    chosen = dict(re.findall(r"engine_(\w+_parallel_size): (\d+)", remedy(changes)))
    assert chosen and not remedy(changes | {name: int(size) for name, size in chosen.items()})


@pytest.mark.parametrize("changes", [
    {"model_info": {}}, {"hardware": {}}, {"tensor_parallel_size": 3}, {"hardware": {"gpu": "Tesla T4"}},
])  # fmt: skip
def test_nothing_is_proposed_that_is_not_known(changes: dict[str, Any]) -> None:
    request = Request.from_options(SOUND | changes)
    assert not unset_sizes.proposal(request, sizes(request))
    assert remedy(changes) == "choose sizes whose product is 16"
