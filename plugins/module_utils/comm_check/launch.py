# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the communication check is started on a node, and how its output is read. Pure; private to this collection."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.comm_check import nccl_log
from ansible_collections.fullrank.serving.plugins.module_utils.comm_check.worker import MARK
from ansible_collections.fullrank.serving.plugins.module_utils.systemd import hardening, transient

LOOPBACK = "127.0.0.1"


def unit_name(deployment: str) -> str:
    """The transient unit of the check; another one than the rank's."""
    return f"fullrank-comm-check-{deployment}.service"


def environment(launch: Mapping[str, str], backend: str, expect_rdma: bool, nnodes: int) -> dict[str, str]:
    """The environment of the launch, and what the check adds to it.

    NCCL must report over what it sends, here and not in a file of its own. Where RDMA is expected between nodes, sockets are
    forbidden to it (NCCL_NET, NCCL user guide), so that it fails instead of being slow; a choice of the launch stays.
    """
    env = {name: value for name, value in launch.items() if name != "NCCL_DEBUG_FILE"}
    if backend == "nccl":
        env |= {"NCCL_DEBUG": "INFO", "NCCL_DEBUG_SUBSYS": "INIT,NET,ENV"}
        if expect_rdma and nnodes > 1:
            env.setdefault("NCCL_NET", "IB")
    return env


def torchrun(python: str, program: str, options: Mapping[str, Any], where: Mapping[str, Any]) -> list[str]:
    """The command of one node. where: rank, nnodes, head_address, port, processes (a number, or ``gpu``), join_timeout (s)."""
    return [
        python,
        "-m",
        "torch.distributed.run",
        f"--nnodes={where['nnodes']}",
        f"--node-rank={where['rank']}",
        f"--nproc-per-node={where['processes']}",
        f"--master-addr={where['head_address'] or LOOPBACK}",
        f"--master-port={where['port']}",
        f"--rdzv-conf=timeout={where['join_timeout']}",
        "--no-python",
        python,
        "-c",
        program,
        json.dumps(options),
    ]


def mpirun(
    python: str, program: str, options: Mapping[str, Any], env: Mapping[str, str], where: Mapping[str, Any]
) -> list[str]:
    """The command of the head for all nodes, in the words of Open MPI, which reaches the others by its own means (ssh).

    where: addresses of the nodes in rank order, processes on each.
    """
    addresses, processes = where["addresses"], int(where["processes"])
    places = ",".join(f"{address or LOOPBACK}:{processes}" for address in addresses)
    passed = [word for name in sorted(env) for word in ("-x", name)]
    count = processes * len(addresses)
    return ["mpirun", "-np", str(count), "--host", places, *passed, python, "-c", program, json.dumps(options)]


def contained(container: Mapping[str, Any], name: str, argv: Sequence[str], env: Mapping[str, str]) -> list[str]:
    """``argv`` in a container like that of the rank (``launch.container``): the same image, devices, limits and network.

    The runtime's words carry the environment of the launch already; ``env`` comes after them and wins.
    """
    added = [word for key, value in sorted(env.items()) for word in ("--env", f"{key}={value}")]
    words = [container["runtime"], "run", "--rm", "--name", name, *container["settings"], *added]
    return [*words, "--entrypoint", argv[0], container["image"], *argv[1:]]


def unit(
    deployment: str, argv: Sequence[str], env: Mapping[str, str], seconds: int, *, dynamic_user: bool, backend: str
) -> transient.Unit:
    """``argv`` as a unit that ends by itself: with the rank's limits and as the rank's kind of user.

    It sees GPUs and HCAs, writes to its private /tmp only, and has no privilege of root, whoever runs it. Open MPI starts the
    other nodes by ssh, with the keys of root. seconds: after which systemd ends every process of it.
    """
    properties = ["LimitMEMLOCK=infinity", "LimitNOFILE=1048576", "TasksMax=infinity"]
    return transient.Unit(
        name=unit_name(deployment),
        description=f"fullrank: communication check of {deployment}",
        command=argv,
        sandbox=transient.Sandbox(
            reads=[argv[0], *(["/root"] if backend == "mpi" else [])],
            families=hardening.NETWORK,
            devices=True,
            generates_code=True,
            # processes of one node hand each other memory of a GPU by file descriptors; ssh, as root, sets its user
            system_calls=[*(hardening.SERVICE if backend == "mpi" else hardening.UNPRIVILEGED), "pidfd_getfd"],
        ),
        environment={"HOME": "/tmp", **env},
        properties=properties + (["DynamicUser=yes"] if dynamic_user else []),
        seconds=seconds,
        attached=True,
    )


def client_unit(deployment: str, argv: Sequence[str], seconds: int) -> transient.Unit:
    """The client of a container runtime, whose container is like that of the rank; see `contained`."""
    return transient.Unit(
        name=unit_name(deployment),
        description=f"fullrank: communication check of {deployment}",
        command=argv,
        sandbox=None,
        seconds=seconds,
        attached=True,
    )


def records(output: str) -> list[dict[str, Any]]:
    """The program's own lines, wherever they stand among those of libraries; a line that was cut off is left out."""
    found = []
    for line in output.splitlines():
        _unused, mark, text = line.partition(MARK)
        if mark:
            try:
                found.append(json.loads(text))
            except ValueError:
                continue
    return found


def library_lines(output: str, count: int) -> list[str]:
    """The last ``count`` lines of libraries with content: not the program's own, no NCCL information, no rulers."""
    lines = [line.rstrip() for line in output.splitlines() if MARK not in line and " NCCL INFO " not in line]
    return [line for line in lines if line.strip(" =-*")][-count:]


def outcome(output: str, error: str, code: int, seconds: float, limit: int) -> dict[str, Any]:
    """One node's part of the check as the module returns it."""
    return {
        "exit_status": code,
        "timed_out": code != 0 and seconds >= limit,
        "seconds": round(seconds, 1),
        "records": records(output),
        "networks": nccl_log.networks(output),
        "log": library_lines(f"{output}\n{error}", 20) if code else [],
    }
