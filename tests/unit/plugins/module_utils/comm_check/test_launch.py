# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The node's side of the communication check: the program's plan, how it is started, what is read from its output."""

from __future__ import annotations

import inspect
import json
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.fullrank.serving.plugins.module_utils.comm_check import launch as comm_check_launch
from ansible_collections.fullrank.serving.plugins.module_utils.comm_check import nccl_log, worker
from ansible_collections.fullrank.serving.plugins.module_utils.node import links
from hypothesis import given, settings
from hypothesis import strategies as st
from places import DATA

RECORDED = yaml.safe_load((DATA / "nccl_log/lines.yml").read_text())


@pytest.mark.parametrize("case", RECORDED, ids=lambda case: case["name"])
def test_the_network_is_read_from_recorded_logs(case: dict[str, Any]) -> None:
    assert nccl_log.networks(case["text"]) == case["networks"]


@pytest.mark.parametrize("count", range(10))
def test_every_pair_meets_once_and_nobody_is_at_two_places(count: int) -> None:
    plan = worker.rounds(count)
    met = [pair for matches in plan for pair in matches]
    assert sorted(met) == list(combinations(range(count), 2))
    for matches in plan:
        busy = [node for pair in matches for node in pair]
        assert len(busy) == len(set(busy))
    assert len(plan) <= count


class Wire:
    """A transfer of known speed, and how often it was used."""

    def __init__(self, bytes_per_second: float) -> None:
        self.rate = bytes_per_second
        self.used: list[int] = []

    def step(self, size: int) -> Any:
        def transfer() -> float:
            self.used.append(size)
            return size / self.rate

        return transfer


def climb(sizes: list[int], rate: float, seconds: float = 1.0) -> tuple[list[tuple[int, float]], Wire]:
    wire = Wire(rate)
    return list(worker.ladder(sizes, seconds, wire.step, lambda value: value)), wire


def test_small_sizes_come_first_and_are_repeated() -> None:
    measured, wire = climb([2**20, 2**10], 1e9)
    assert measured == [(2**10, 2**10 / 1e9), (2**20, 2**20 / 1e9)]
    assert wire.used.count(2**10) == worker.MOST_REPETITIONS + 1


def test_a_size_that_would_take_too_long_is_left_out() -> None:
    measured, wire = climb([2**10, 2**20, 2**22, 2**26], 6e6)  # 50 Mbit/s
    assert [size for size, _ in measured] == [2**10, 2**20, 2**22]
    assert wire.used.count(2**22) == 2
    assert sum(size / 6e6 for size in wire.used) < 5


@settings(max_examples=50)
@given(
    st.lists(st.integers(1, 2**28), min_size=1, max_size=6),
    st.floats(1e3, 1e11),
    st.lists(st.floats(0.5, 2), min_size=2, max_size=2),
)
def test_partners_of_different_speed_make_the_same_transfers(
    sizes: list[int], rate: float, factors: list[float]
) -> None:
    """Agreed numbers decide: no rank waits for a transfer that the other does not make."""
    slowest = rate / max(factors)

    def agree_on(wire: Wire) -> Any:
        return lambda value: value * wire.rate / slowest

    wires = [Wire(rate / factor) for factor in factors]
    for wire in wires:
        list(worker.ladder(sizes, 1.0, wire.step, agree_on(wire)))
    assert len({tuple(sorted(set(wire.used))) for wire in wires}) == 1


def test_the_program_survives_a_systemd_command_line() -> None:
    program = inspect.getsource(worker)
    assert "$" not in program  # would be a variable
    assert len(program.encode()) < 128 * 1024  # MAX_ARG_STRLEN of Linux
    assert "ansible_collections" not in program  # it is alone


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
def test_the_environment_is_that_of_the_launch_and_nccl_says_what_it_uses(
    launch: dict[str, str], backend: str, rdma: bool, nnodes: int, added: dict[str, str]
) -> None:
    assert comm_check_launch.environment(launch, backend, rdma, nnodes) == {"A": "1", **added}


def test_the_unit_ends_by_itself_and_has_the_limits_of_a_rank() -> None:
    command = comm_check_launch.transient_unit("u.service", ["/bin/x", "-c"], {"B": "a b", "A": "1"}, 300, True)
    assert command[-3:] == ["--", "/bin/x", "-c"]
    wanted = {
        "--unit=u.service",
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
    as_root = comm_check_launch.transient_unit("u.service", ["/bin/x"], {}, 300, False)
    assert not any("DynamicUser" in word or "HOME" in word for word in as_root)


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


@pytest.mark.parametrize(
    ("hca_list", "device", "port", "selected"),
    [
        ("", "mlx5_0", 1, True),
        ("mlx5", "mlx5_0", 1, True),
        ("mlx5_1", "mlx5_10", 1, True),  # the prefix trap
        ("=mlx5_1", "mlx5_10", 1, False),
        ("=mlx5_1,mlx5_10", "mlx5_10", 1, True),
        ("=mlx5_0:1", "mlx5_0", 1, True),
        ("=mlx5_0:1", "mlx5_0", 2, False),
        ("^mlx5_0", "mlx5_0", 1, False),
        ("^=mlx5_1", "mlx5_10", 1, True),
        ("^=mlx5_1", "mlx5_1", 1, False),
    ],
)
def test_which_hcas_a_list_selects(hca_list: str, device: str, port: int, selected: bool) -> None:
    """NCCL user guide, NCCL_IB_HCA."""
    assert links.selects(hca_list, device, port) is selected


def test_rates_of_links(tmp_path: Path) -> None:
    files = {
        "class/net/eth0/speed": "25000\n",
        "class/net/virtio0/speed": "-1\n",
        "class/infiniband/mlx5_0/ports/1/state": "4: ACTIVE\n",
        "class/infiniband/mlx5_0/ports/1/rate": "200 Gb/sec (4X HDR)\n",
        "class/infiniband/mlx5_1/ports/1/state": "4: ACTIVE\n",
        "class/infiniband/mlx5_1/ports/1/rate": "200 Gb/sec (4X HDR)\n",
        "class/infiniband/mlx5_2/ports/1/state": "1: DOWN\n",
        "class/infiniband/mlx5_2/ports/1/rate": "10 Gb/sec (4X SDR)\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert links.interface_gbps("eth0", tmp_path) == 25
    assert [links.interface_gbps(name, tmp_path) for name in ("virtio0", "gone", "")] == [0, 0, 0]
    assert links.rdma_gbps("", tmp_path) == 400
    assert links.rdma_gbps("=mlx5_1", tmp_path) == 200
    assert links.rdma_gbps("", tmp_path / "nothing") == 0
