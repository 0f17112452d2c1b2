# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""LMDeploy: ``lmdeploy serve api_server``; on several nodes the PyTorch backend over a Ray group.

Sources: lmdeploy/cli/serve.py and cli/utils.py (0.7.1, 0.18.0), lmdeploy/pytorch/ray.py. The key has an option only;
without one the server answers everyone on 0.0.0.0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import Finding, failed
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.catalog import VersionCatalog
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.versions import Version
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.engines import ray
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.engines.call import (
    Call,
    name_of_model,
    offline_env,
    present,
    rendezvous_env,
    set_options,
    size,
)
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.engines.request import Request
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.engines.secret import Secret
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.parallelism.sizes import Parallel

IN_ONE_PROCESS = "0.12.0"

OWNED = {
    "model_path": "model",
    "model_name": "served_model_name",
    "server_name": "host",
    "server_port": "port",
    "tp": "tensor_parallel_size",
    "dp": "data_parallel_size",
    "dtype": "dtype",
    "device": "device",
    "api_keys": "api_key",
}


def call(request: Request, options: VersionCatalog, sizes: Parallel) -> Call:
    """The command of the server."""
    args = set_options(request, model_path="model") | name_of_model("model_name", request)
    args |= set_options(request, server_name="host")
    args |= set_options(request, server_port="port")
    args |= present(
        tp=(size(request.tensor_parallel_size), "tensor_parallel_size"),
        pipeline_parallel_size=(size(request.pipeline_parallel_size), "pipeline_parallel_size"),
        dp=(size(request.data_parallel_size), "data_parallel_size"),
    )
    args |= set_options(request, dtype="dtype", quantization="quantization")
    env = offline_env(request) | rendezvous_env(request)
    if request.executor == "ray":
        args |= present(backend=("pytorch", "only this backend runs over Ray"))
    secret = Secret("module", "FULLRANK_API_KEY", "--api-keys", module="lmdeploy")  # lmdeploy/__main__.py
    call = Call(("lmdeploy", "serve", "api_server"), args, OWNED, env, secret)
    return ray.over(call, request, sizes) if request.executor == "ray" else call


def rules(request: Request, options: VersionCatalog, values: Mapping[str, Any], sizes: Parallel) -> Iterator[Finding]:
    """lmdeploy/cli/utils.py: tensor parallelism "should be 2^n"."""
    tp = request.tensor_parallel_size
    if tp > 0 and tp & (tp - 1):
        where = request.variable("tensor_parallel_size")
        yield failed("size-not-power-of-two", where, f"LMDeploy takes powers of two, not {tp}", "write 1, 2, 4, 8 …")
    if len(request.names) > 1:
        message = f"LMDeploy answers requests for one name only, {request.names[0]}"
        yield failed("aliases", request.variable("served_model_name"), message, "write one name")
    if request.data_parallel_size > 1 and not _in_one_process(options, values):
        yield failed(
            "server-for-every-copy",
            request.variable("data_parallel_size"),
            "LMDeploy starts a server for every copy, on ports of its own choice, and wants its own proxy before them "
            "(lmdeploy/serve/openai/launch_server.py); here the head serves one endpoint",
            "write 1 and use tensor or expert parallel (engine_args.ep), or engine_replicas with the router",
        )
    if request.executor == "ray":
        yield from ray.over_rules(request)
    elif request.nnodes > 1:
        remedy = f"write {request.variable('executor')}: ray"
        yield failed(
            "no-native-multi-node",
            request.variable("executor"),
            "LMDeploy is started on several nodes over Ray only",
            remedy,
        )


def _in_one_process(options: VersionCatalog, values: Mapping[str, Any]) -> bool:
    """From IN_ONE_PROCESS on TurboMind runs its copies itself (lmdeploy/cli/serve.py: api_server)."""
    turbomind = values.get("backend", "turbomind") == "turbomind" and not values.get("ep")
    return turbomind and Version(options.version) >= Version(IN_ONE_PROCESS)
