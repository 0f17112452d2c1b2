# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies of a model on two nodes behind one endpoint: they start together, answer together, and come back together."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from helpers import NET, chat, until
from testinfra.host import Host

HEAD = f"{NET}.11"
UNIT = "fullrank-rank@copies.service"
RPC_PORT = 29550
BACK_S = 900


def pids(nodes: dict[str, Host]) -> dict[str, str]:
    return {
        name: host.check_output(f"systemctl show --value --property=MainPID {UNIT}") for name, host in nodes.items()
    }


def generated() -> dict[str, float]:
    """Tokens that each copy has generated since its start, by its number."""
    with urllib.request.urlopen(f"http://{HEAD}:8000/metrics", timeout=30) as answer:
        text = answer.read().decode()
    return {
        found[1]: float(found[2])
        for found in re.finditer(r'^vllm:generation_tokens_total\{engine="(\d+)".*\} (\S+)$', text, re.MULTILINE)
    }


def state(host: Host) -> dict[str, Any]:
    """As the node's supervisor wrote it last."""
    return dict(json.loads(host.check_output("cat /run/fullrank/copies.json")))


def test_the_others_start_as_soon_as_the_head_runs(nodes: dict[str, Host]) -> None:
    config = json.loads(nodes["n1"].check_output("cat /etc/fullrank/copies.supervisor.json"))
    assert config["start_order"] == {"together": True, "port": RPC_PORT}
    head, other = (
        int(host.check_output(f"systemctl show --value --property=ExecMainStartTimestampMonotonic {UNIT}"))
        for host in nodes.values()
    )
    assert (
        head < other
    )  # one machine, so one clock; by then the head had not begun to listen: it needs longer to import
    log = nodes["n1"].check_output("journalctl --unit=fullrank-supervisor@copies --output=cat --no-pager")
    assert "starting rank 1 (n2)" in log and "does not listen" not in log


@pytest.mark.parametrize("node", ["n1", "n2"])
def test_each_node_has_a_copy(nodes: dict[str, Host], node: str) -> None:
    process = nodes[node].process.get(pid=int(pids(nodes)[node]))
    assert "--data-parallel-size 2" in process.args and ("--headless" in process.args) is (node == "n2")
    assert nodes[node].run("fullrank-check copies").rc == 0


def test_both_copies_answer(nodes: dict[str, Host]) -> None:
    def both() -> bool:
        with ThreadPoolExecutor(8) as clients:
            answers = [*clients.map(lambda number: chat(HEAD, text=f"number {number}", ignore_eos=True), range(8))]
        assert all(answer["usage"]["completion_tokens"] == 8 for answer in answers)
        return len(generated()) == 2 and all(generated().values())

    until(both, 120, "an answer of each copy")


def test_a_second_run_changes_nothing_and_leaves_the_engine_alone(
    nodes: dict[str, Host], play: Callable[..., Any]
) -> None:
    before = pids(nodes)
    run = play("site.yml")
    assert (run.rc, run.changed) == (0, 0)
    assert pids(nodes) == before


@pytest.mark.parametrize(("node", "rank"), [("n2", 1), ("n1", 0)])
def test_a_killed_copy_brings_the_whole_group_back(nodes: dict[str, Host], node: str, rank: int) -> None:
    before, epoch = pids(nodes), state(nodes["n1"])["epoch"]
    nodes[node].check_output(f"kill -9 {before[node]}")
    until(lambda: nodes["n1"].run("fullrank-check copies").rc == 1, 60)
    until(lambda: all(host.run("fullrank-check copies").rc == 0 for host in nodes.values()), BACK_S)
    assert all(pid != before[name] for name, pid in pids(nodes).items())
    # on a busy machine vLLM may need more than one: its coordinator of copies has 120 s to import (v1/engine/coordinator.py)
    assert state(nodes["n1"])["epoch"] > epoch
    log = nodes["n1"].check_output("journalctl --unit=fullrank-supervisor@copies --output=cat --no-pager")
    assert f"last failure: rank {rank}: its unit is deactivating (signal, exit status 9)" in log
    assert chat(HEAD, ignore_eos=True)["usage"]["completion_tokens"] == 8


def test_the_journal_can_be_read_for_signs_of_work(nodes: dict[str, Host]) -> None:
    """As the supervisor reads it, with what its unit lets it do."""
    supervisor = nodes["n1"].check_output(
        "systemctl show --value --property=MainPID fullrank-supervisor@copies.service"
    )
    inside = f"nsenter --mount --target {supervisor}"
    shown = nodes["n1"].check_output(
        f"{inside} journalctl --unit={UNIT} --since=-3600s --output=cat --no-pager --quiet"
    )
    assert "Started" in shown or "vllm" in shown


def test_nothing_is_left_of_what_is_removed(nodes: dict[str, Host], play: Callable[..., Any]) -> None:
    assert play("playbooks/remove.yml").rc == 0
    for host in nodes.values():
        assert host.run("pgrep -f vllm").rc == 1
