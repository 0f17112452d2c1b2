# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the communication check is started on a node, and how its output is read."""

from __future__ import annotations

import json

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.comm_check import launch as comm_check_launch
from ansible_collections.fullrank.serving.plugins.module_utils.systemd import transient
from transient_standin import properties

PLACE = {"rank": 1, "nnodes": 2, "head_address": "192.0.2.1", "port": 29500, "processes": "gpu", "join_timeout": 150}


def test_torchrun_gets_the_places_and_the_program() -> None:
    argv = comm_check_launch.torchrun("/v/bin/python", "PROGRAM", {"backend": "nccl"}, PLACE)
    assert argv[:3] == ["/v/bin/python", "-m", "torch.distributed.run"]
    assert {"--nnodes=2", "--node-rank=1", "--nproc-per-node=gpu", "--master-addr=192.0.2.1"} < set(argv)
    assert argv[-5:-1] == ["--no-python", "/v/bin/python", "-c", "PROGRAM"]
    assert json.loads(argv[-1]) == {"backend": "nccl"}


def test_a_single_node_meets_itself() -> None:
    argv = comm_check_launch.torchrun("/v/bin/python", "P", {}, {**PLACE, "nnodes": 1, "rank": 0, "head_address": ""})
    assert "--master-addr=127.0.0.1" in argv


def test_mpirun_starts_all_nodes_from_the_head() -> None:
    argv = comm_check_launch.mpirun(
        "/v/bin/python", "P", {}, {"A": "1"}, {"addresses": ["192.0.2.1", "192.0.2.2"], "processes": 8}
    )
    assert argv[:9] == ["mpirun", "-np", "16", "--host", "192.0.2.1:8,192.0.2.2:8", "-x", "A", "/v/bin/python", "-c"]


@pytest.mark.parametrize(
    ("launch", "backend", "rdma", "nnodes", "added"),
    [
        ({"A": "1"}, "gloo", False, 2, {}),
        ({"A": "1", "NCCL_DEBUG_FILE": "/x"}, "gloo", False, 2, {}),
        ({"A": "1"}, "nccl", False, 2, {"NCCL_DEBUG": "INFO", "NCCL_DEBUG_SUBSYS": "INIT,NET,ENV"}),
        (
            {"A": "1", "NCCL_DEBUG": "WARN"},
            "nccl",
            True,
            1,
            {"NCCL_DEBUG": "INFO", "NCCL_DEBUG_SUBSYS": "INIT,NET,ENV"},
        ),
        (
            {"A": "1"},
            "nccl",
            True,
            2,
            {"NCCL_DEBUG": "INFO", "NCCL_DEBUG_SUBSYS": "INIT,NET,ENV", "NCCL_NET": "IB"},
        ),
        (
            {"A": "1", "NCCL_NET": "IBext"},
            "nccl",
            True,
            2,
            {"NCCL_DEBUG": "INFO", "NCCL_DEBUG_SUBSYS": "INIT,NET,ENV", "NCCL_NET": "IBext"},
        ),
    ],
)
def test_the_environment_is_that_of_the_launch_and_nccl_logs_what_it_uses(
    launch: dict[str, str], backend: str, rdma: bool, nnodes: int, added: dict[str, str]
) -> None:
    assert comm_check_launch.environment(launch, backend, rdma, nnodes) == {"A": "1", **added}


def test_the_unit_ends_by_itself_and_has_the_limits_of_a_rank() -> None:
    unit = comm_check_launch.unit(
        "tiny", ["/bin/x", "-c"], {"B": "a b", "A": "1"}, 300, dynamic_user=True, backend="nccl"
    )
    command = transient.start_command(unit)
    assert command[-3:] == ["--", "/bin/x", "-c"]
    wanted = {
        "--unit=fullrank-comm-check-tiny.service",
        "--collect",
        "--wait",
        "--pipe",
        "--property=RuntimeMaxSec=300",
        "--property=LimitMEMLOCK=infinity",
        "--property=DynamicUser=yes",
        "--setenv=A=1",
        "--setenv=B=a b",
        "--setenv=HOME=/tmp",
    }
    assert wanted < set(command)


def test_the_unit_of_root_has_no_privilege_of_root_and_sees_devices() -> None:
    unit = comm_check_launch.unit("tiny", ["/bin/x"], {"HOME": "/opt/h"}, 300, dynamic_user=False, backend="nccl")
    command = transient.start_command(unit)
    found = properties(command)
    assert "DynamicUser" not in found and "ReadWritePaths" not in found and "PrivateDevices" not in found
    assert (found["CapabilityBoundingSet"], found["ProtectHome"]) == ("", "yes")
    assert "--setenv=HOME=/opt/h" in command


def test_open_mpi_may_read_the_keys_of_root() -> None:
    unit = comm_check_launch.unit("tiny", ["mpirun"], {}, 300, dynamic_user=False, backend="mpi")
    assert properties(transient.start_command(unit))["ProtectHome"] == "read-only"


def test_the_client_of_a_container_is_not_in_the_sandbox() -> None:
    command = transient.start_command(comm_check_launch.client_unit("tiny", ["docker", "run"], 300))
    assert properties(command)["RuntimeMaxSec"] == "300"
    assert "ProtectSystem" not in properties(command)
    assert {"--wait", "--pipe"} < set(command)


OUTPUT = """\
*****************************************
Setting OMP_NUM_THREADS environment variable
node1:1:1 [0] NCCL INFO Using network IB
noise FULLRANK-COMM {"kind": "end", "rank": 0}
FULLRANK-COMM {"kind": "cut o
"""


def test_records_are_found_among_noise() -> None:
    found = comm_check_launch.outcome(OUTPUT, "E: the reason\n======\n", 1, 3.21, 300)
    assert found["records"] == [{"kind": "end", "rank": 0}]
    assert found["networks"]["used"] == {"IB": 0}
    assert found["log"] == ["Setting OMP_NUM_THREADS environment variable", "E: the reason"]
    assert (found["timed_out"], found["seconds"]) == (False, 3.2)
    assert comm_check_launch.outcome("", "", 1, 300.1, 300)["timed_out"]
    assert comm_check_launch.outcome(OUTPUT, "", 0, 3, 300)["log"] == []
