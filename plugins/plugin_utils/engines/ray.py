"""Ray: one ``ray start`` per node, in the foreground; the group under vLLM's Ray executor and under LMDeploy on
several nodes.

Sources: ray/scripts/scripts.py (2.60.0); vllm/ray/ray_env.py (0.33.0: the driver's NCCL_*, VLLM_*, UCX_* and HF_* are
copied to the workers unless a file names them).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog import VersionCatalog
from ansible_collections.fullrank.serving.plugins.plugin_utils.engines.call import (
    Call,
    Given,
    host_port,
    present,
    rendezvous_env,
)
from ansible_collections.fullrank.serving.plugins.plugin_utils.findings import Finding, fail
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch_request import Request

RENDEZVOUS_PORT = 6379
"""Ray's own default of --port."""

OWNED = {
    "head": "rank",
    "address": "head_address",
    "port": "rendezvous_port",
    "node_ip_address": "rank_address",
    "num_gpus": "gpus",
    "block": "rank",
}

PER_HOST = (
    "GLOO_SOCKET_IFNAME",
    "NCCL_IB_GID_INDEX",
    "NCCL_IB_HCA",
    "NCCL_SOCKET_IFNAME",
    "TP_SOCKET_IFNAME",
    "UCX_NET_DEVICES",
    "VLLM_API_KEY",
    "VLLM_HOST_IP",
)
"""What must not travel from the head to the workers: it differs from host to host, or it is the key."""


def call(request: Request, options: VersionCatalog) -> Call:
    """The Ray node of one rank; rank 0 is the head."""
    port = request.rendezvous_port or RENDEZVOUS_PORT
    if request.is_head:
        args = present(head=(True, "rank 0 is the head"), port=(port, "rendezvous_port"))
    else:
        args = present(address=(host_port(request.head_address or "", port), "head_address"))
    args |= present(
        node_ip_address=(request.rank_address, "rank_address"),
        num_gpus=(_gpus(request), "gpus"),
        block=(True, "systemd watches the process"),
        disable_usage_stats=(True, "no outside address without being asked"),
    )
    env = rendezvous_env(request)
    if request.rank_address:
        env |= present(VLLM_HOST_IP=(request.rank_address, "rank_address"))
    return Call(("ray", "start"), args, OWNED, env, rendezvous_port=port, mounts=sockets(request))


def rules(request: Request, options: VersionCatalog, values: Mapping[str, Any]) -> Iterator[Finding]:
    """Nothing beyond what holds for every engine."""
    yield from ()


def _gpus(request: Request) -> int | None:
    """Ray counts GPUs itself; told how many where the rank may not use all, or where there are none to find."""
    if request.device == "cpu":
        return 1  # a logical GPU: the executors ask Ray for one per process
    return len(request.gpus) if request.gpus is not None else None


def sockets(request: Request) -> tuple[Mapping[str, Any], ...]:
    """The node's Ray in one container and the engine in another meet through Ray's sockets: a volume they share."""
    return ({"source": f"fullrank-{request.deployment}-ray", "target": "/tmp/ray"},)


def driver_env(request: Request) -> dict[str, Given]:
    """How an engine on the head finds the group, instead of quietly starting a Ray of its own."""
    port = request.rendezvous_port or RENDEZVOUS_PORT
    address = host_port(request.head_address or request.rank_address or "127.0.0.1", port)
    return present(RAY_ADDRESS=(address, "head_address"))


def per_host_file(request: Request, folder: str) -> dict[str, Any]:
    """The file that keeps per-host variables from being copied to the workers (sparkrun#135: wrong HCA and GID)."""
    names = {*PER_HOST, *(str(name) for name in request.env if str(name).startswith(("NCCL_", "UCX_")))}
    return {"path": f"{folder}/ray_non_carry_over_env_vars.json", "content": json.dumps(sorted(names)) + "\n"}


def server_rules(request: Request) -> Iterator[Finding]:
    """What holds for every engine that runs on top of Ray."""
    if not request.is_head:
        message = f"over Ray only rank 0 runs {request.engine}"
        remedy = f"on the other ranks render {request.variable('engine')}: ray"
        yield fail("server-on-the-head-only", request.variable("rank"), message, remedy)
