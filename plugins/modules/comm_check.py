#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One node's part in a communication check of all ranks."""

from __future__ import annotations

DOCUMENTATION = r"""
module: comm_check
version_added: 0.1.0
short_description: One node's part in a communication check of all ranks
description:
  - Runs an all-reduce of all ranks and an exchange between every two nodes, with the PyTorch of the engine's environment,
    and compares what arrives with what should.
  - Run it on all hosts of a deployment at once; each waits for the others. M(fullrank.serving.comm_verdict) judges what all
    of them returned; this module does not fail when the ranks do not reach each other, or not fast enough.
  - The check is a transient systemd unit with the limits and the kind of user of a rank. It can write to its private C(/tmp)
    only, ends by itself, and leaves nothing on the node.
options:
  deployment:
    description: Name of the deployment; names the unit.
    type: str
    required: true
  venv:
    description: Virtual environment with PyTorch, the engine's own. Required without O(container).
    type: path
  container:
    description:
      - The container of the rank, RV(fullrank.serving.engine_command#module:launch), C(container). The check runs in one like it,
        with the PyTorch of its image. Empty for a rank that is a process.
    type: dict
  env:
    description: Environment of the launch, RV(fullrank.serving.engine_command#module:launch), C(env).
    type: dict
    default: {}
  rank:
    description: This node's rank.
    type: int
    required: true
  addresses:
    description: Addresses of all nodes on their rendezvous interfaces, in rank order. One empty address for a single node.
    type: list
    elements: str
    required: true
  interface:
    description: This node's rendezvous interface, for the rate of its link.
    type: str
    default: ""
  port:
    description: TCP port on which the head waits for the others.
    type: int
    default: 29500
  backend:
    description:
      - What transfers. V(nccl) needs GPUs, V(gloo) none.
      - V(mpi) needs a PyTorch that was built with it, Open MPI's C(mpirun) on the head, and a way for it to start
        processes on the other nodes. The head starts all of them; the other nodes wait for nothing.
    type: str
    choices: [nccl, gloo, mpi]
    default: nccl
  processes:
    description:
      - Processes on each node. One for each visible GPU when not set, or one without GPUs, or two on a single node
        without GPUs.
    type: int
  sizes:
    description: Bytes of one transfer; each size is measured.
    type: list
    elements: int
    default: [1024, 65536, 1048576, 4194304, 16777216, 67108864]
  seconds:
    description: Seconds for the repetitions of one size. Sizes for which one transfer would take longer are left out.
    type: float
    default: 1
  step_timeout:
    description: Seconds after which a transfer that does not end is an error.
    type: int
    default: 60
  timeout:
    description: Seconds after which the whole check is ended on this node.
    type: int
    default: 300
  expect_rdma:
    description: Forbid sockets to NCCL for traffic between nodes (C(NCCL_NET=IB)), unless O(env) names a network.
    type: bool
    default: false
  vllm:
    description: Check vLLM's own NCCL communicator too, directly and in a CUDA graph. Needs O(backend=nccl) and vLLM in O(venv).
    type: bool
    default: false
  dynamic_user:
    description: Run as a user that exists while it runs, as the rank does, instead of root.
    type: bool
    default: false
attributes:
  check_mode:
    description: Runs nothing.
    support: full
  diff_mode:
    description: Changes nothing.
    support: none
requirements:
  - systemd 248 or newer
  - PyTorch in O(venv)
seealso:
  - module: fullrank.serving.comm_verdict
author:
  - The fullrank authors (@fullrank)
"""

EXAMPLES = r"""
- name: Check the communication between the ranks
  fullrank.serving.comm_check:
    deployment: deepseek_r1
    venv: /opt/sglang
    env: "{{ rendered.launch.env }}"
    rank: "{{ rendezvous.rank }}"
    addresses: [192.0.2.11, 192.0.2.12]
    interface: "{{ rendezvous.interface }}"
    expect_rdma: true
  register: comm
"""

RETURN = r"""
exit_status:
  description: Exit status of this node's part.
  returned: when it ran
  type: int
timed_out:
  description: Whether it was ended after O(timeout).
  returned: when it ran
  type: bool
seconds:
  description: How long it took.
  returned: when it ran
  type: float
records:
  description: >-
    What the processes of this node measured or found - kind (C(start), C(all_reduce), C(pair), C(wrong), C(error), C(end)) and
    the fields of that kind. All-reduce times are reported by rank 0, those of a pair by its lower node.
  returned: when it ran
  type: list
  elements: dict
networks:
  description: >-
    What NCCL's log reports about traffic between nodes - used (network to number of channels), gdr (channels that reach the GPU
    directly) and why (lines with the reason why RDMA is not there).
  returned: when it ran
  type: dict
link_gbps:
  description: Rate in Gbit/s of what is sent over - the interface, or all selected HCAs with O(expect_rdma). 0 when unknown.
  returned: when it ran
  type: float
log:
  description: The last lines of libraries.
  returned: when it ran; empty unless it failed
  type: list
  elements: str
"""

import time
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fullrank.serving.plugins.module_utils.comm_check import launch, worker
from ansible_collections.fullrank.serving.plugins.module_utils.common import payload
from ansible_collections.fullrank.serving.plugins.module_utils.node import links
from ansible_collections.fullrank.serving.plugins.module_utils.systemd import transient


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "deployment": {"type": "str", "required": True},
            "venv": {"type": "path"},
            "container": {"type": "dict"},
            "env": {"type": "dict", "default": {}},
            "rank": {"type": "int", "required": True},
            "addresses": {"type": "list", "elements": "str", "required": True},
            "interface": {"type": "str", "default": ""},
            "port": {"type": "int", "default": 29500},
            "backend": {"type": "str", "choices": ["nccl", "gloo", "mpi"], "default": "nccl"},
            "processes": {"type": "int"},
            "sizes": {"type": "list", "elements": "int", "default": [2**10, 2**16, 2**20, 2**22, 2**24, 2**26]},
            "seconds": {"type": "float", "default": 1},
            "step_timeout": {"type": "int", "default": 60},
            "timeout": {"type": "int", "default": 300},
            "expect_rdma": {"type": "bool", "default": False},
            "vllm": {"type": "bool", "default": False},
            "dynamic_user": {"type": "bool", "default": False},
        },
        required_one_of=[("venv", "container")],
        supports_check_mode=True,
    )
    params = module.params
    if module.check_mode:
        module.exit_json(changed=False, skipped=True, msg="nothing is sent in check mode")
    container = params["container"]
    python = "python3" if container else f"{params['venv']}/bin/python"
    if container and params["backend"] == "mpi":
        module.fail_json(msg="backend mpi reaches other nodes by ssh and cannot run in containers; use nccl or gloo")
    if not container and not Path(python).exists():
        # no failure of this module: the findings of the other nodes are wanted too
        module.exit_json(changed=False, msg=f"there is no {python}; venv must be at the same path on every node")

    backend, nnodes = params["backend"], len(params["addresses"])
    env = {name: str(value) for name, value in params["env"].items()}
    env = launch.environment(env, backend, params["expect_rdma"], nnodes)
    processes = params["processes"] or ("gpu" if backend == "nccl" else 2 if nnodes == 1 else 1)
    options = {
        "backend": backend,
        "sizes": params["sizes"],
        "seconds": params["seconds"],
        "timeout": params["step_timeout"],
        "vllm": params["vllm"],
    }
    program = payload.text(worker)
    where = {**params, "nnodes": nnodes, "processes": processes, "head_address": params["addresses"][0]}
    where["join_timeout"] = params["timeout"] // 2  # the rest is for what is measured
    if backend == "mpi":
        argv = launch.mpirun(python, program, options, env, where)
    else:
        argv = launch.torchrun(python, program, options, where)

    remove = []
    if container:
        name = launch.unit_name(params["deployment"]).removesuffix(".service")
        hidden = {"NCCL_DEBUG_FILE": ""} if "NCCL_DEBUG_FILE" in params["env"] else {}
        argv = launch.contained(container, name, argv, env | hidden)
        remove = [container["runtime"], "rm", "--force", name]
        unit = launch.client_unit(params["deployment"], argv, params["timeout"])
    else:
        unit = launch.unit(
            params["deployment"], argv, env, params["timeout"], dynamic_user=params["dynamic_user"], backend=backend
        )
    command = ["true"] if backend == "mpi" and params["rank"] else transient.start_command(unit)
    # one that an interrupted run left behind, and that would end by itself a little later
    transient.stop(module.run_command, unit.name)
    started = time.monotonic()
    try:
        code, output, error = module.run_command(command, errors="backslashreplace")
    finally:
        transient.stop(module.run_command, unit.name)
        if remove:  # a container does not end with the unit of its runtime's client
            module.run_command(remove)
    result = launch.outcome(output, error, code, time.monotonic() - started, params["timeout"])
    rdma = links.rdma_gbps(env.get("NCCL_IB_HCA", "")) if params["expect_rdma"] else 0.0
    result["link_gbps"] = rdma or links.interface_gbps(params["interface"])
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
