"""The gate lets good nodes pass, names the one that is not, and leaves nothing behind."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ansible_runner
import pytest

CHECKOUT = Path(__file__).resolve().parents[3]
INVENTORY = CHECKOUT / "molecule/comm_check/inventory"
GROUND = CHECKOUT / "tests/ground/ground.py"
NODES = ("n1", "n2", "n3")
PAIRS = [["n1", "n2"], ["n1", "n3"], ["n2", "n3"]]


@dataclass
class Outcome:
    """What a caller sees of the playbook."""

    rc: int
    changed: int
    check: dict[str, Any]
    text: str


def ground(*arguments: str) -> str:
    return subprocess.run([str(GROUND), *arguments], check=True, capture_output=True, text=True, timeout=60).stdout


@pytest.fixture
def play(tmp_path: Path) -> Callable[..., Outcome]:
    def run(*arguments: str, inventory: Path = INVENTORY, **variables: Any) -> Outcome:
        result = ansible_runner.run(
            private_data_dir=str(tmp_path),
            project_dir=str(CHECKOUT),
            playbook="playbooks/comm_check.yml",
            inventory=str(inventory),
            cmdline=" ".join(arguments) or None,
            extravars=variables,
            envvars={"ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"), "PATH": os.environ["PATH"]},
            timeout=400,
            quiet=True,
        )
        stats = next(e["event_data"] for e in result.events if e["event"] == "playbook_on_stats")
        text = result.stdout.read()
        print(text)
        check = stats.get("artifact_data", {}).get("fullrank", {}).get("comm_check", {}).get("wires", {})
        return Outcome(result.rc, sum(stats["changed"].values()), check, text)

    return run


@pytest.fixture(autouse=True)
def nothing_is_left_on_the_nodes() -> Iterator[None]:
    yield
    for node in NODES:
        left = ground(
            "exec", node, "systemctl list-units --all --plain --no-legend 'fullrank-*'; pgrep -af '[t]orch' || true"
        )
        assert left.strip() == "", node


@pytest.fixture
def slow_n3() -> Iterator[None]:
    ground("rate", "n3", "50mbit")
    yield
    ground("rate", "n3", "off")


def test_good_nodes_pass_and_nothing_changes(play: Callable[..., Outcome]) -> None:
    run = play()
    assert (run.rc, run.changed) == (0, 0)
    assert run.check["passed"] and run.check["findings"] == []
    assert run.check["nodes"] == list(NODES)
    assert [pair["nodes"] for pair in run.check["pairs"]] == PAIRS
    assert [one["bytes"] for one in run.check["all_reduce"]] == [2**10, 2**20, 2**22, 2**24]
    assert all(pair["gbps"] > 0.1 for pair in run.check["pairs"])  # not the 50 Mbit/s of below
    assert "ALL-REDUCE" in run.text and "n2 - n3" in run.text


@pytest.mark.usefixtures("slow_n3")
def test_a_slow_node_is_named_and_stops_the_run(play: Callable[..., Outcome]) -> None:
    run = play()
    assert run.rc != 0
    assert [(one["code"], one["where"]) for one in run.check["findings"]] == [("slow-node", "wires rank 2 (n3)")]
    rates = {tuple(pair["nodes"]): pair["gbps"] for pair in run.check["pairs"]}
    assert rates["n1", "n3"] < 0.051 and rates["n2", "n3"] < 0.051 < rates["n1", "n2"]
    assert "wires rank 2 (n3): the node is slow: n1 - n3 0.0" in run.text


def test_a_limit_that_no_pair_reaches_blames_the_network(play: Callable[..., Outcome]) -> None:
    run = play(comm_check_min_gbps=1000)
    assert run.rc != 0
    assert [one["code"] for one in run.check["findings"]] == ["slow-network"]


def test_a_backend_that_torch_does_not_have_is_said(play: Callable[..., Outcome]) -> None:
    """The CPU build of PyTorch has no NCCL: a machine whose GPUs are expected and not there fails as well."""
    run = play(comm_check_backend="nccl", comm_check_processes=1)
    assert run.rc != 0
    assert {one["where"] for one in run.check["findings"]} == {f"wires rank {i} ({n})" for i, n in enumerate(NODES)}
    assert "was built without nccl" in run.text


def test_check_mode_sends_nothing_and_says_so(play: Callable[..., Outcome]) -> None:
    run = play("--check")
    assert (run.rc, run.changed, run.check) == (0, 0, {})
    assert "wires: the communication is not checked: nothing is sent in check mode" in run.text


def test_a_deployment_that_serves_is_left_alone(play: Callable[..., Outcome]) -> None:
    ground("exec", "n2", "systemd-run --quiet --collect --unit=fullrank-wires sleep 300")
    try:
        run = play()
    finally:
        ground("exec", "n2", "systemctl stop fullrank-wires")
    assert (run.rc, run.check) == (0, {})
    assert "wires: the communication is not checked: it serves" in run.text


def test_one_node_alone_checks_its_own_processes(play: Callable[..., Outcome], tmp_path: Path) -> None:
    inventory = tmp_path / "inventory"
    shutil.copytree(INVENTORY, inventory)
    hosts = inventory / "hosts.yml"
    hosts.write_text(hosts.read_text().replace("            n2:\n            n3:\n", ""))
    run = play(inventory=inventory, engine_tensor_parallel_size=1)
    assert run.rc == 0
    assert (run.check["nodes"], run.check["processes"], run.check["pairs"]) == (["n1"], 2, [])
