# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""vLLM: over several nodes by itself (`vllm_nodes`), or the server on the head of a Ray group.

Sources: vllm/engine/arg_utils.py and vllm/config/parallel.py (0.11.1, 0.33.0), vllm/envs.py (0.8.5.post1 to 0.33.0:
VLLM_API_KEY counts without --api-key), and two-node runs of 0.32.0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import Finding
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.catalog import VersionCatalog
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.versions import Version
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.engines import ray, vllm_nodes
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.engines.call import (
    Call,
    Setting,
    offline_env,
    present,
    rendezvous_env,
    set_options,
    size,
)
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.engines.request import Request
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.engines.secret import Secret
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.parallelism.sizes import Parallel

RENDEZVOUS_PORT = 29501
"""vLLM's own default of --master-port."""

OWNED = {
    "model": "model",
    "model_tag": "model",
    "served_model_name": "served_model_name",
    "host": "host",
    "port": "port",
    "tensor_parallel_size": "tensor_parallel_size",
    "pipeline_parallel_size": "pipeline_parallel_size",
    "data_parallel_size": "data_parallel_size",
    "data_parallel_rank": "rank",
    "data_parallel_start_rank": "rank",
    "data_parallel_address": "head_address",
    "nnodes": "nnodes",
    "node_rank": "rank",
    "master_addr": "head_address",
    "master_port": "rendezvous_port",
    "headless": "rank",
    "distributed_executor_backend": "executor",
    "dtype": "dtype",
    "quantization": "quantization",
    "api_key": "api_key",
}


def call(request: Request, options: VersionCatalog, sizes: Parallel) -> Call:
    """The command of one rank."""
    args = set_options(request, model_tag="model") if options.lookup("model_tag") else {}
    args |= present(served_model_name=(list(request.names) or None, "served_model_name"))
    if sizes.serves(request.rank):
        args |= set_options(request, host="host", port="port")
    args |= present(
        tensor_parallel_size=(size(request.tensor_parallel_size), "tensor_parallel_size"),
        pipeline_parallel_size=(size(request.pipeline_parallel_size), "pipeline_parallel_size"),
    )
    if not vllm_nodes.joins_a_copy(request, options, sizes):
        args |= present(data_parallel_size=(size(request.data_parallel_size), "data_parallel_size"))
    args |= set_options(request, dtype="dtype", quantization="quantization")
    env = offline_env(request) | rendezvous_env(request)
    if request.nnodes > 1 and request.rank_address:
        env |= present(VLLM_HOST_IP=(request.rank_address, "rank_address"))
    program, secret = _program(request, options), Secret("env", "VLLM_API_KEY")
    if request.executor == "ray":
        args |= present(distributed_executor_backend=("ray", "executor"))
        if not request.is_head:
            return ray.over(Call(program, args, OWNED, env, secret), request, sizes)
        folder = f"/etc/fullrank/{request.deployment}.vllm"
        env |= _ray_env(options, folder)
        files = (ray.per_host_file(request, env, folder),)
        return ray.over(Call(program, args, OWNED, env, secret, files=files), request, sizes)
    port = request.rendezvous_port or RENDEZVOUS_PORT
    return Call(
        program,
        args | vllm_nodes.arguments(request, options, sizes, port),
        OWNED,
        env,
        secret,
        port,
        left_out=vllm_nodes.left_out(request, options, sizes),
    )


def rules(request: Request, options: VersionCatalog, values: Mapping[str, Any], sizes: Parallel) -> Iterator[Finding]:
    """What this engine checks after parsing."""
    yield from vllm_nodes.rules(request, options, values, sizes)
    if request.executor == "ray":
        yield from ray.over_rules(request)


def _program(request: Request, options: VersionCatalog) -> tuple[str, ...]:
    """Before 0.10 the positional model belongs to ``vllm serve`` itself, not to the parser behind it."""
    own = () if options.lookup("model_tag") or not request.model else (request.model,)
    return ("vllm", "serve", *own)


def _ray_env(options: VersionCatalog, folder: str) -> dict[str, Setting]:
    """Where the list of per-host variables lies; and the second Ray executor where it exists but is not yet the default
    (vllm/envs.py: there from 0.20.0, default from 0.24.0 at the latest), since the first one asserts (ray#57587)."""
    env = present(VLLM_CONFIG_ROOT=(folder, "per-host variables stay on their host"))
    if Version("0.20") <= Version(options.version) < Version("0.24"):
        env |= present(VLLM_USE_RAY_V2_EXECUTOR_BACKEND=("1", "the first Ray executor asserts"))
    return env
