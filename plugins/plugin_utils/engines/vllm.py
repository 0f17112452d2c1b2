"""vLLM: native multi-node tensor and pipeline parallel, or the server on the head of a Ray group.

Sources: vllm/engine/arg_utils.py and vllm/config/parallel.py (0.11.1, 0.33.0), vllm/envs.py (0.8.5.post1 to 0.33.0:
VLLM_API_KEY counts when --api-key is not given), and two-node runs of 0.32.0.
"""

from __future__ import annotations

from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog import VersionCatalog
from ansible_collections.fullrank.serving.plugins.plugin_utils.engines.call import (
    Call,
    Given,
    Secret,
    offline_env,
    present,
    rendezvous_env,
    set_options,
    size,
)
from ansible_collections.fullrank.serving.plugins.plugin_utils.findings import Finding, fail
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch_request import Request

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


def call(request: Request, options: VersionCatalog) -> Call:
    """The command of one rank."""
    args = set_options(request, model_tag="model", served_model_name="served_model_name")
    if request.is_head:
        args |= set_options(request, host="host", port="port")
    args |= present(
        tensor_parallel_size=(size(request.tensor_parallel_size), "tensor_parallel_size"),
        pipeline_parallel_size=(size(request.pipeline_parallel_size), "pipeline_parallel_size"),
        data_parallel_size=(size(request.data_parallel_size), "data_parallel_size"),
    )
    args |= set_options(request, dtype="dtype", quantization="quantization")
    ray = request.executor == "ray"
    args |= _ray_args() if ray else _native_args(request)
    env = offline_env(request) | rendezvous_env(request)
    if request.nnodes > 1 and request.rank_address:
        env |= present(VLLM_HOST_IP=(request.rank_address, "rank_address"))
    return Call(
        program=("vllm", "serve"),
        args=args,
        owned=OWNED,
        env=env,
        secret=Secret("env", "VLLM_API_KEY"),
        rendezvous_port=request.rendezvous_port or RENDEZVOUS_PORT,
        findings=tuple(_native_findings(request, options)) if not ray else (),
    )


def _native_args(request: Request) -> dict[str, Given]:
    if request.nnodes == 1:
        return {}
    args = present(
        nnodes=(request.nnodes, "nnodes"),
        node_rank=(request.rank, "rank"),
        master_addr=(request.head_address, "head_address"),
        master_port=(request.rendezvous_port or RENDEZVOUS_PORT, "rendezvous_port"),
    )
    return args if request.is_head else args | present(headless=(True, "rank above 0 serves no HTTP"))


def _ray_args() -> dict[str, Given]:
    return present(distributed_executor_backend=("ray", "executor"))


def _native_findings(request: Request, options: VersionCatalog) -> list[Finding]:
    if request.nnodes == 1 or options.lookup("nnodes"):
        return []
    since = options.catalog.history("nnodes").since
    message = f"vLLM {options.asked} starts ranks on several nodes by Ray only (--nnodes came with {since})"
    remedy = f"set {request.variable('executor')}: ray or a version from {since} on"
    return [fail("no-native-multi-node", request.variable("version"), message, remedy)]
