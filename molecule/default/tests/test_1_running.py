# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""After converge: a deployment of two ranks that answers, and what its callers and operators see of it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers import NET, chat, reboot, undocumented_sockets, until
from testinfra.host import Host

UNIT = "fullrank-rank@tiny.service"
SUPERVISOR = "fullrank-supervisor@tiny.service"
HEAD, OTHER = f"{NET}.11", f"{NET}.12"
ENDPOINT = f"http://{HEAD}:8000/v1"
BACK_S = 240


def shown(host: Host, name: str) -> str:
    return str(host.check_output(f"systemctl show --value --property={name} {UNIT}"))


def pids(nodes: dict[str, Host]) -> dict[str, str]:
    return {name: shown(host, "MainPID") for name, host in nodes.items()}


def ask(text: str, **options: Any) -> dict[str, Any]:
    return chat(HEAD, text=text, **options)


@pytest.mark.parametrize(("node", "rank"), [("n1", 0), ("n2", 1)])
def test_a_rank_is_a_supervised_unit_that_does_not_run_as_root(nodes: dict[str, Host], node: str, rank: int) -> None:
    service = nodes[node].service(UNIT)
    assert service.is_running
    assert nodes[node].run(f"systemctl is-enabled {UNIT}").stdout.strip() == "static"  # its supervisor starts it
    supervisor = nodes[node].service(SUPERVISOR)
    assert supervisor.is_running and supervisor.is_enabled
    process = nodes[node].process.get(pid=int(shown(nodes[node], "MainPID")))
    assert f"--node-rank {rank}" in process.args
    assert f"--master-addr {HEAD}" in process.args
    assert process.user != "root"


def test_the_deployment_answers_a_chat(nodes: dict[str, Host]) -> None:
    answer = ask("Are all ranks up?", max_tokens=8, ignore_eos=True)
    assert answer["model"] == "tiny"
    assert answer["usage"]["completion_tokens"] == 8


def test_every_socket_is_in_the_table_of_the_security_page(nodes: dict[str, Host]) -> None:
    assert {name: undocumented_sockets(nodes[name]) for name in ("n1", "n2")} == {"n1": [], "n2": []}


def test_both_ranks_have_a_half_of_the_model(nodes: dict[str, Host]) -> None:
    for host, rank in ((nodes["n1"], 0), (nodes["n2"], 1)):
        assert f"Worker_TP{rank}" in host.check_output(f"journalctl -u {UNIT} -o cat --no-pager")
    # rank 1 is connected to the store of the head, over the nodes' own addresses
    peers = nodes["n2"].check_output(f"ss -Htn state established dst {HEAD}")
    assert ":29500" in peers


def test_the_head_was_started_first(nodes: dict[str, Host]) -> None:
    head, other = (int(shown(nodes[n], "ExecMainStartTimestampMonotonic")) for n in ("n1", "n2"))
    assert head < other


def test_a_second_run_changes_nothing_and_leaves_the_engine_alone(
    nodes: dict[str, Host], play: Callable[..., Any]
) -> None:
    before = pids(nodes)
    run = play("site.yml")
    assert run.rc == 0
    assert run.changed == 0
    assert pids(nodes) == before
    server = {
        "name": "n1",
        "url": ENDPOINT,
        "host": "0.0.0.0",
        "ready": f"http://{HEAD}:29600/ready",
        "certificate": "",
    }
    assert run.outcome["deployments"]["tiny"] == {
        "endpoint": ENDPOINT,
        "model": "tiny",
        "task": "generate",
        "engine": "vllm 0.32.0",
        "ranks": ["n1", "n2"],
        "replicas": [{**server, "servers": [server]}],
        "key": None,
    }
    # its last step checked every endpoint
    assert {one["where"] for one in run.outcome["verify"]["checks"]} == {"tiny rank 0 (n1)", "tiny rank 1 (n2)"}


def test_the_example_program_deploys_and_asks(inventory: Path, tmp_path: Path) -> None:
    checkout = Path(__file__).resolve().parents[3]
    own = shutil.copytree(inventory, tmp_path / "inventory")
    shutil.copy(checkout / "molecule/shared/inventory/addresses.yml", own)  # those of this ground
    (own / "addresses.yml").rename(own / "later.yml")  # read after hosts.yml
    words = [sys.executable, checkout / "examples/deploy.py", own, "tiny", "Are all ranks up?"]
    run = subprocess.run(words, check=False, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "== Run the preflight on the nodes" in run.stdout.splitlines()
    answer = run.stdout.rpartition("\n== ")[2].partition("\n")[2]  # what comes after the last play
    assert answer.strip(), "the model answered nothing"


def test_the_role_alone_in_somebodys_play_sees_that_all_is_well(
    nodes: dict[str, Host], play: Callable[..., Any]
) -> None:
    before = pids(nodes)
    run = play("molecule/default/role_alone.yml")
    assert (run.rc, run.changed) == (0, 0)
    assert run.outcome["deployments"]["tiny"]["endpoint"] == ENDPOINT
    assert pids(nodes) == before


def answers() -> bool:
    try:
        return ask("Back?", max_tokens=1)["model"] == "tiny"
    except OSError:  # no route, no port, or no engine behind it yet
        return False


def test_after_a_reboot_of_all_nodes_the_ranks_find_each_other(
    nodes: dict[str, Host], play: Callable[..., Any]
) -> None:
    reboot(*nodes.values())
    until(answers, BACK_S, "an answer")
    run = play("site.yml")
    assert (run.rc, run.changed) == (0, 0)


def test_check_mode_tells_of_a_change_and_makes_none(nodes: dict[str, Host], play: Callable[..., Any]) -> None:
    before = pids(nodes)
    unit_before = nodes["n1"].file(f"/etc/systemd/system/{UNIT}").content_string
    run = play("site.yml", "--check", "--diff", engine_args={"max_model_len": 128, "enforce_eager": True})
    assert run.rc == 0
    assert "--max-model-len 128" in run.text  # the diff of the unit
    assert run.changed == 6  # on each of two nodes: write, stop, start
    assert all(host.run("fullrank-check tiny").rc == 0 for host in nodes.values())
    assert pids(nodes) == before
    assert nodes["n1"].file(f"/etc/systemd/system/{UNIT}").content_string == unit_before
    assert ask("still there?", max_tokens=1)["model"] == "tiny"


def test_the_plan_is_what_runs(nodes: dict[str, Host], play: Callable[..., Any]) -> None:
    run = play("playbooks/plan.yml")
    assert (run.rc, run.changed) == (0, 0)
    ranks = run.outcome["plans"]["tiny"]["ranks"]
    assert [(r["host"], r["address"], r["interface"], r["reported"]) for r in ranks] == [
        ("n1", HEAD, "eth0", True),
        ("n2", OTHER, "eth0", True),
    ]
    for rank, host in zip(ranks, nodes.values(), strict=True):
        assert f"FULLRANK_SPEC_HASH={rank['spec_hash']}" in shown(host, "Environment").split()
        assert rank["command"] in run.text


def test_status_shows_every_rank(play: Callable[..., Any]) -> None:
    run = play("playbooks/status.yml")
    assert run.rc == 0
    rows = run.outcome["status"]
    assert [(r["deployment"], r["rank"], r["host"], r["unit"], r["health"]) for r in rows] == [
        ("tiny", 0, "n1", "active", "ready"),
        ("tiny", 1, "n2", "active", "ready"),
    ]
    assert all(r["pid"] > 0 and r["since"] > 0 for r in rows)
    assert "DEPLOYMENT  RANK  HOST  UNIT    SINCE" in run.text


def test_a_killed_rank_brings_the_whole_group_back_without_us(nodes: dict[str, Host], play: Callable[..., Any]) -> None:
    """What `make test-faults` measures, once and without a clock: noticed by the node's own check, and back."""
    before = pids(nodes)
    nodes["n2"].check_output(f"kill -9 {before['n2']}")
    until(lambda: nodes["n1"].run("fullrank-check tiny").rc == 1, BACK_S, "a check that notices")
    # the supervisors are at it: whoever asks for the status gets the rows, and a failure
    status = play("playbooks/status.yml")
    assert (status.rc, len(status.outcome["status"])) == (2, 2)
    assert "not ready: tiny" in status.text
    until(lambda: all(host.run("fullrank-check tiny").rc == 0 for host in nodes.values()), BACK_S, "all ranks")
    after = pids(nodes)
    assert all(after[name] != before[name] for name in nodes)
    assert ask("Back?", max_tokens=1)["model"] == "tiny"


def test_a_supervisor_that_ends_finds_its_engine_again(nodes: dict[str, Host]) -> None:
    before = pids(nodes)
    for host in nodes.values():
        host.check_output(f"systemctl kill --signal=KILL {SUPERVISOR}")
    until(lambda: all(host.run("fullrank-check tiny").rc == 0 for host in nodes.values()), BACK_S, "all ranks")
    assert pids(nodes) == before


def test_restart_starts_the_whole_group_from_what_is_written(nodes: dict[str, Host], play: Callable[..., Any]) -> None:
    before = pids(nodes)
    assert play("playbooks/restart.yml", "-l", "tiny", "--check").changed == 4
    assert pids(nodes) == before
    run = play("playbooks/restart.yml", "-l", "tiny")
    assert (run.rc, run.changed) == (0, 4)
    assert run.outcome["deployments"]["tiny"]["endpoint"] == ENDPOINT
    assert all(pid != before[name] for name, pid in pids(nodes).items())


def test_a_key_is_needed_once_one_is_set(nodes: dict[str, Host], play: Callable[..., Any]) -> None:
    """A new key is a new launch: all ranks start again, and the key is nowhere to be read."""
    key = "sk-test-4f1d0c"
    assert play("site.yml", engine_api_key=key).rc == 0
    with pytest.raises(urllib.error.HTTPError) as refused:
        ask("who is there?")
    assert refused.value.code == 401
    head = nodes["n1"]
    assert key not in head.check_output(
        f"systemctl show {UNIT}; systemctl cat {UNIT}; ps axww; journalctl -u {UNIT} --no-pager"
    )
    secret = head.file("/etc/fullrank/tiny.secret.env")
    assert key in secret.content_string
    assert (secret.mode, secret.user) == (0o600, "root")
    again = play("site.yml", engine_api_key=key)
    assert (again.rc, again.changed) == (0, 0)
    assert key not in again.text
