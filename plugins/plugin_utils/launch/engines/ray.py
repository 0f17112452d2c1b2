# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ray: the group under vLLM's Ray executor and under LMDeploy on several nodes, or a bare one.

Under an engine rank 0 is three commands, one after the other: ``ray start --head``, `ray_gate`, and in its place the engine.
The other ranks are ``ray start --block``. So a rank is one unit or one container, and what ends the unit ends its Ray too.

Sources: ray/scripts/scripts.py (2.60.0); vllm/ray/ray_env.py (0.33.0: the driver's NCCL_*, VLLM_*, UCX_* and HF_* are
copied to the workers unless a file names them).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common import payload
from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import Finding, failed
from ansible_collections.fullrank.serving.plugins.module_utils.common.host_port import host_port
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.catalog import VersionCatalog
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.engines import ray_gate
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.engines.call import (
    PYTHON,
    Call,
    Setting,
    present,
    rendezvous_env,
)
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.engines.request import Request
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.parallelism.sizes import Parallel

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

SECRETS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "VLLM_API_KEY")
"""What must not travel from the head to the workers even where somebody else set it."""


def call(request: Request, options: VersionCatalog, sizes: Parallel) -> Call:
    """The bare Ray node of one rank; rank 0 is the head."""
    args = _arguments(request, sizes) | present(block=(True, "systemd watches the process"))
    env = rendezvous_env(request)
    if request.rank_address:
        env |= present(VLLM_HOST_IP=(request.rank_address, "rank_address"))
    return Call(("ray", "start"), args, OWNED, env, rendezvous_port=_port(request))


def rules(request: Request, options: VersionCatalog, values: Mapping[str, Any], sizes: Parallel) -> Iterator[Finding]:
    """Nothing beyond what holds for every engine."""
    yield from ()


def over(call: Call, request: Request, sizes: Parallel) -> Call:
    """An engine's launch over Ray, made of its launch on one node."""
    env = {**call.env, **present(RAY_ADDRESS=(_address(request), "head_address"))}
    call = replace(call, env=env, rendezvous_port=_port(request))
    if request.nnodes > 1:
        why = "else whoever reaches Ray's ports runs programs there; from Ray 2.52 on"
        call = replace(call, env={**env, **present(RAY_AUTH_MODE=("token", why))}, token="RAY_AUTH_TOKEN_PATH")
    node = ("ray", "start", *_words(_arguments(request, sizes)))
    if not request.is_head:
        return replace(call, program=(*node, "--block"), is_engine=False)
    sign = _port(request) + 1
    path = f"/etc/fullrank/{request.deployment}.ray.py"
    addresses = request.rank_addresses if request.nnodes > 1 else (_own_address(request),)
    gate = (PYTHON, path, str(sizes.gpus), str(sign), *addresses)
    file = {"path": path, "content": payload.text(ray_gate)}
    return replace(call, before=(node, gate), files=(*call.files, file), rendezvous_port=sign)


def per_host_file(request: Request, env: Mapping[str, Setting], folder: str) -> dict[str, Any]:
    """The file that keeps variables from being copied to the workers: each rank has what this launch sets from its own unit,
    with its own values (sparkrun#135: the head's HCA and GID on all nodes)."""
    names = sorted({*SECRETS, *env, *map(str, request.env)})
    return {"path": f"{folder}/ray_non_carry_over_env_vars.json", "content": json.dumps(names) + "\n"}


def over_rules(request: Request) -> Iterator[Finding]:
    """What holds for every engine over Ray."""
    count = len(request.rank_addresses)
    if request.is_head and count != request.nnodes > 1:
        message = f"the head waits until all {request.nnodes} ranks are in the Ray cluster, and the request has {count} addresses"
        remedy = "write those of all ranks, in rank order"
        yield failed("no-rank-addresses", request.variable("rank_addresses"), message, remedy)


def _arguments(request: Request, sizes: Parallel) -> dict[str, Setting]:
    port = _port(request)
    if request.is_head:
        args = present(
            head=(True, "rank 0 is the head"),
            port=(port, "rendezvous_port"),
            # whoever reaches it starts programs (CVE-2023-48022)
            include_dashboard=("false", "nothing here needs its dashboard"),
            no_monitor=(True, "nothing here grows or shrinks"),
        )
    else:
        args = present(address=(_address(request), "head_address"))
    return args | present(
        node_ip_address=(_own_address(request), "rank_address"),
        num_gpus=(_gpus(request, sizes), "gpus"),
        disable_usage_stats=(True, "no outside address is contacted by default"),
    )


def _words(args: Mapping[str, Setting]) -> tuple[str, ...]:
    """Arguments that every version of Ray in the catalog has, which a test holds, as words."""
    return tuple(
        word
        for name, setting in args.items()
        for word in (f"--{name.replace('_', '-')}", *(() if setting.value is True else (str(setting.value),)))
    )


def _own_address(request: Request) -> str:
    """A cluster of one node needs no address that others reach."""
    return request.rank_address or "127.0.0.1"


def _port(request: Request) -> int:
    return request.rendezvous_port or RENDEZVOUS_PORT


def _address(request: Request) -> str:
    """Where the group is found; without it an engine would quietly start a Ray of its own."""
    return host_port(request.head_address or _own_address(request), _port(request))


def _gpus(request: Request, sizes: Parallel) -> int | None:
    """Ray counts GPUs itself; the number is passed where the rank may not use all, or where there are none to find."""
    if request.device == "cpu":
        return -(-sizes.gpus // sizes.nnodes)  # logical ones: executors ask Ray for one per process
    return len(request.gpus) if request.gpus is not None else None
