# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two ranks of SGLang that answer together, to whoever has the key, and come back together."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from helpers import NET, assert_key_required, chat, until
from testinfra.host import Host

HEAD, OTHER = f"{NET}.11", f"{NET}.12"
ENDPOINT = f"http://{HEAD}:8000/v1"
UNIT = "fullrank-rank@tiny.service"
KEY = "sk-sglang-0123456789abcdef"
BACK_S = 600


def ask(key: str | None = KEY, address: str = HEAD) -> dict[str, Any]:
    return chat(address, key, ignore_eos=True)


def pids(nodes: dict[str, Host]) -> dict[str, str]:
    return {
        name: host.check_output(f"systemctl show --value --property=MainPID {UNIT}") for name, host in nodes.items()
    }


@pytest.mark.parametrize(("node", "rank"), [("n1", 0), ("n2", 1)])
def test_a_rank_is_a_supervised_unit_with_its_place_in_the_group(nodes: dict[str, Host], node: str, rank: int) -> None:
    process = nodes[node].process.get(pid=int(pids(nodes)[node]))
    assert f"--node-rank {rank}" in process.args and f"--dist-init-addr {HEAD}:" in process.args
    assert process.user != "root"
    assert nodes[node].run("fullrank-check tiny").rc == 0


def test_a_supervisor_comes_before_its_engine_when_time_is_short(nodes: dict[str, Host]) -> None:
    for host in nodes.values():
        supervisor = host.check_output("systemctl show --value --property=MainPID fullrank-supervisor@tiny.service")
        # a kernel without such groups has no such file
        assert host.run(f"grep -L 'nice -10' /proc/{supervisor}/autogroup").stdout == ""


def test_both_ranks_have_a_half_of_the_model(nodes: dict[str, Host]) -> None:
    assert ask()["usage"]["completion_tokens"] == 8
    assert "TP1" in nodes["n2"].check_output(f"journalctl --unit={UNIT} --output=cat --no-pager")
    # over the nodes' own addresses
    assert nodes["n2"].check_output(f"ss -Htn state established dst {HEAD}")


def test_only_the_head_answers_and_only_who_has_the_key(nodes: dict[str, Host]) -> None:
    assert_key_required(ask)
    with pytest.raises(OSError):  # its own server knows /health and nothing else, or is not there
        ask(address=OTHER)


@pytest.mark.parametrize("node", ["n1", "n2"])
def test_the_key_is_in_files_of_root_and_nowhere_else(nodes: dict[str, Host], node: str) -> None:
    host = nodes[node]
    for command in ("ps -eo args", "journalctl --no-pager --boot", f"systemctl cat {UNIT}; systemctl show {UNIT}"):
        assert KEY not in host.check_output(command), command
    found = sorted(host.run(f"grep -rlF {KEY} /etc /run /var/lib/fullrank").stdout.split())
    # of the supervisor, which asks for completions, and of the engine
    assert [path.rpartition("/")[2] for path in found if "/credentials/" not in path] == (
        ["tiny.secret.yaml", "tiny.supervisor.secret.json"] if node == "n1" else []
    )
    assert all(host.file(path).user == "root" or "/credentials/" in path for path in found)
    assert all(host.file(path).mode in (0o400, 0o440, 0o600) for path in found)


def test_a_second_run_changes_nothing_and_leaves_the_engine_alone(
    nodes: dict[str, Host], play: Callable[..., Any]
) -> None:
    before = pids(nodes)
    run = play("site.yml")
    assert (run.rc, run.changed) == (0, 0)
    assert pids(nodes) == before
    found = run.outcome["deployments"]["tiny"]
    assert (found["endpoint"], found["engine"], found["ranks"]) == (ENDPOINT, "sglang 0.5.23", ["n1", "n2"])
    assert not any(KEY in json.dumps(event, default=str) for event in run.events)


def test_status_reads_the_engines_own_counters(play: Callable[..., Any]) -> None:
    run = play("playbooks/status.yml")
    assert run.rc == 0 and KEY not in run.text
    head, other = run.outcome["status"]
    assert (head["health"], other["health"]) == ("ready", "ready")
    assert (head["running"], head["waiting"], other["running"]) == (0, 0, None)


@pytest.mark.parametrize("node", ["n2", "n1"])
def test_a_killed_rank_brings_the_whole_group_back_without_us(nodes: dict[str, Host], node: str) -> None:
    before = pids(nodes)
    nodes[node].check_output(f"kill -9 {before[node]}")
    until(lambda: nodes["n1"].run("fullrank-check tiny").rc == 1, 60)
    until(lambda: all(host.run("fullrank-check tiny").rc == 0 for host in nodes.values()), BACK_S)
    assert all(pid != before[name] for name, pid in pids(nodes).items())
    assert ask()["usage"]["completion_tokens"] == 8


def test_nothing_is_left_of_what_is_removed(nodes: dict[str, Host], play: Callable[..., Any]) -> None:
    assert play("playbooks/remove.yml").rc == 0
    for host in nodes.values():
        assert host.run(f"grep -rlF {KEY} /etc /run /var/lib/fullrank").stdout == ""
        assert host.run("pgrep -f sglang").rc == 1
