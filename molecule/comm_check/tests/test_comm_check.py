# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate lets good nodes pass, names the one that is not, and leaves nothing behind."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

PLAYBOOK = "playbooks/comm_check.yml"
NODES = ("n1", "n2", "n3")
PAIRS = [["n1", "n2"], ["n1", "n3"], ["n2", "n3"]]


def check(run: Any) -> dict[str, Any]:
    """What the playbook gave to its caller; empty when nothing was checked."""
    return dict(run.outcome.get("comm_check", {}).get("wires", {}))


@pytest.fixture(autouse=True)
def nothing_is_left_on_the_nodes(ground: Callable[..., str]) -> Iterator[None]:
    yield
    for node in NODES:
        left = ground(
            "exec", node, "systemctl list-units --all --plain --no-legend 'fullrank-*'; pgrep -af '[t]orch' || true"
        )
        assert left.strip() == "", node


@pytest.fixture
def slow_n3(ground: Callable[..., str]) -> Iterator[None]:
    ground("rate", "n3", "50mbit")
    yield
    ground("rate", "n3", "off")


def test_good_nodes_pass_and_nothing_changes(play: Callable[..., Any]) -> None:
    run = play(PLAYBOOK)
    assert (run.rc, run.changed) == (0, 0)
    assert check(run)["passed"] and check(run)["findings"] == []
    assert check(run)["nodes"] == list(NODES)
    assert [pair["nodes"] for pair in check(run)["pairs"]] == PAIRS
    assert [one["bytes"] for one in check(run)["all_reduce"]] == [2**10, 2**20, 2**22, 2**24]
    assert all(pair["gbps"] > 0.1 for pair in check(run)["pairs"])  # not the 50 Mbit/s of below
    assert "ALL-REDUCE" in run.text and "n2 - n3" in run.text


@pytest.mark.usefixtures("slow_n3")
def test_a_slow_node_is_named_and_stops_the_run(play: Callable[..., Any]) -> None:
    run = play(PLAYBOOK)
    assert run.rc != 0
    assert [(one["code"], one["where"]) for one in check(run)["findings"]] == [("slow-node", "wires rank 2 (n3)")]
    rates = {tuple(pair["nodes"]): pair["gbps"] for pair in check(run)["pairs"]}
    assert rates["n1", "n3"] < 0.051 and rates["n2", "n3"] < 0.051 < rates["n1", "n2"]
    assert "wires rank 2 (n3): the node is slow: n1 - n3 0.0" in run.text


def test_a_limit_that_no_pair_reaches_blames_the_network(play: Callable[..., Any]) -> None:
    run = play(PLAYBOOK, comm_check_min_gbps=1000)
    assert run.rc != 0
    assert [one["code"] for one in check(run)["findings"]] == ["slow-network"]


def test_a_backend_that_torch_does_not_have_is_reported(play: Callable[..., Any]) -> None:
    """The CPU build of PyTorch has no NCCL: a machine whose GPUs are expected and not there fails as well."""
    run = play(PLAYBOOK, comm_check_backend="nccl", comm_check_processes=1)
    assert run.rc != 0
    assert {one["where"] for one in check(run)["findings"]} == {f"wires rank {i} ({n})" for i, n in enumerate(NODES)}
    assert "was built without nccl" in run.text


def test_check_mode_sends_nothing_and_reports_that(play: Callable[..., Any]) -> None:
    run = play(PLAYBOOK, "--check")
    assert (run.rc, run.changed, check(run)) == (0, 0, {})
    assert "wires: the communication is not checked: nothing is sent in check mode" in run.text


def test_a_deployment_that_serves_is_left_alone(play: Callable[..., Any], ground: Callable[..., str]) -> None:
    ground("exec", "n2", "systemd-run --quiet --collect --unit=fullrank-rank@wires sleep 300")
    try:
        run = play(PLAYBOOK)
    finally:
        ground("exec", "n2", "systemctl stop fullrank-rank@wires")
    assert (run.rc, check(run)) == (0, {})
    assert "wires: the communication is not checked: it serves" in run.text


def test_one_node_alone_checks_its_own_processes(play: Callable[..., Any], inventory: Path, tmp_path: Path) -> None:
    one = tmp_path / "inventory"
    shutil.copytree(inventory, one)
    hosts = one / "hosts.yml"
    hosts.write_text(hosts.read_text().replace("            n2:\n            n3:\n", ""))
    run = play(PLAYBOOK, inventory=one, engine_tensor_parallel_size=1)
    assert run.rc == 0
    assert (check(run)["nodes"], check(run)["processes"], check(run)["pairs"]) == (["n1"], 2, [])
