# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""vLLM over a Ray cluster of two nodes: what a rank is, who is let in, what happens when a part of it dies, and what is left."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from helpers import assert_key_required, chat
from testinfra.host import Host

NAME = "clustered"
UNIT = f"fullrank-rank@{NAME}.service"
KEY = "sk-clustered-0123456789abcdef"
TOKEN = f"/etc/fullrank/{NAME}.group.token"
# in the unit's namespace: Ray's sockets lie in its own /tmp
INSIDE = f"nsenter --mount --target $(systemctl show --value --property=MainPID {UNIT})"
PYTHON = "/opt/fullrank/vllm/bin/python"
WITH_TOKEN = f"RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH={TOKEN}"
BACK_S = 600


def ask(nodes: dict[str, Host], key: str | None) -> dict[str, Any]:
    return chat(nodes["n1"].backend.host.name, key)


def status(host: Host) -> dict[str, Any]:
    """As the node's supervisor wrote it last."""
    return dict(json.loads(host.check_output(f"cat /run/fullrank/{NAME}.json")))


def processes(host: Host, part: str) -> list[str]:
    """Process ids of what runs in the unit's cgroup and has ``part`` in its command line."""
    text = host.run(
        f"cd /sys/fs/cgroup$(systemctl show --value --property=ControlGroup {UNIT}) "
        "&& xargs -n1 ps --no-headers -o pid,args -p <cgroup.procs"
    ).stdout
    return [line.split()[0] for line in text.splitlines() if part in line]


def all_processes(host: Host) -> str:
    return str(host.check_output("ps -eo pid,args"))


@pytest.mark.parametrize("node", ["n1", "n2"])
def test_a_rank_and_its_ray_are_one_unit(nodes: dict[str, Host], node: str) -> None:
    host = nodes[node]
    assert host.service(UNIT).is_running
    assert host.service(f"fullrank-supervisor@{NAME}.service").is_enabled
    assert host.run(f"fullrank-check {NAME}").rc == 0
    assert len(processes(host, "/raylet/raylet ")) == 1
    assert len(processes(host, "/gcs/gcs_server ")) == (1 if node == "n1" else 0)
    assert len(processes(host, "ray::RayWorkerProc")) == 1
    # the main process is the engine on the head, and Ray's node elsewhere
    main = host.check_output(f"systemctl show --value --property=MainPID {UNIT}")
    assert main in processes(host, "vllm serve" if node == "n1" else "ray start --address")


def test_it_answers_who_has_the_key(nodes: dict[str, Host]) -> None:
    assert ask(nodes, KEY)["usage"]["completion_tokens"] == 8
    assert_key_required(lambda key: ask(nodes, key))


@pytest.mark.parametrize("node", ["n1", "n2"])
def test_key_and_token_are_where_they_must_be_and_nowhere_else(nodes: dict[str, Host], node: str) -> None:
    host = nodes[node]
    token = host.file(TOKEN).content_string
    assert len(token) == 64 and host.file(TOKEN).mode == 0o600
    assert token == nodes["n1"].file(TOKEN).content_string
    seen = all_processes(host) + host.check_output("journalctl --no-pager --boot")
    seen += host.file(f"/etc/systemd/system/{UNIT}").content_string
    assert KEY not in seen and token not in seen
    # Ray has no business with the key: not its own processes, and not the engine's on the other node
    for part in ("/raylet/raylet ", "ray::RayWorkerProc"):
        for pid in processes(host, part):
            environment = host.check_output(f"tr '\\0' '\\n' </proc/{pid}/environ")
            assert KEY not in environment and token not in environment
            assert f"VLLM_HOST_IP={host.backend.host.name}" in environment


def test_ray_lets_in_who_has_the_token(nodes: dict[str, Host]) -> None:
    program = "import ray; ray.init(logging_level='ERROR'); print(ray.cluster_resources()['GPU'])"
    request = f'RAY_ADDRESS={nodes["n1"].backend.host.name}:29500 {INSIDE} {PYTHON} -c "{program}"'
    known = nodes["n2"].run(f"{WITH_TOKEN} {request}")
    assert (known.rc, known.stdout) == (0, "2.0\n")
    without = nodes["n2"].run(request)
    assert without.rc != 0
    assert "2.0" not in without.stdout


def test_the_gate_names_what_is_missing(nodes: dict[str, Host]) -> None:
    """The gate of the unit, asked for more than there is, before the real cluster."""
    one, two = (host.backend.host.name for host in nodes.values())
    gate = f"RAY_ADDRESS={one}:29500 {WITH_TOKEN} {INSIDE} timeout 60 {PYTHON} /etc/fullrank/{NAME}.ray.py"
    assert nodes["n1"].run(f"{gate} 2 29999 {one} {two}").rc == 0
    few = nodes["n1"].run(f"{gate} 3 29999 {one} {two}")
    assert few.rc == 1
    has = f"rank 0 ({one}) has 1, rank 1 ({two}) has 1"
    assert f"the engine is not started: the Ray cluster has 2 GPUs and the engine needs 3: {has}" in few.stdout
    absent = nodes["n1"].run(f"{gate} 3 29999 {one} {two} 192.0.2.9")
    assert absent.rc == 124  # it waits
    assert "waiting: rank 2 (192.0.2.9) is not in the Ray cluster" in absent.stdout


def test_a_second_run_changes_nothing(nodes: dict[str, Host], play: Callable[..., Any]) -> None:
    before = {name: status(host)["epoch"] for name, host in nodes.items()}
    run = play("site.yml")
    assert (run.rc, run.changed) == (0, 0)
    assert {name: status(host)["epoch"] for name, host in nodes.items()} == before
    assert KEY not in run.text and nodes["n1"].file(TOKEN).content_string not in run.text


@pytest.mark.parametrize(("node", "part"), [("n2", "ray::RayWorkerProc"), ("n1", "/gcs/gcs_server ")])
def test_a_part_that_dies_takes_all_along_and_all_come_back(nodes: dict[str, Host], node: str, part: str) -> None:
    """A process of the engine on the other node; and the head of Ray."""
    epoch = status(nodes["n1"])["epoch"]
    old = {name: set(processes(host, "")) for name, host in nodes.items()}
    assert all(old.values())
    (pid,) = processes(nodes[node], part)
    nodes[node].check_output(f"kill -KILL {pid}")
    deadline = time.monotonic() + BACK_S
    while not all(status(host)["ready"] and status(host)["epoch"] > epoch for host in nodes.values()):
        assert time.monotonic() < deadline, {name: status(host)["summary"] for name, host in nodes.items()}
        time.sleep(2)
    assert ask(nodes, KEY)["usage"]["completion_tokens"] == 8
    for name, host in nodes.items():
        assert not old[name] & set(processes(host, ""))
        assert all_processes(host).count("/raylet/raylet ") == 1


def test_a_stop_leaves_nothing_of_ray(nodes: dict[str, Host], play: Callable[..., Any]) -> None:
    assert play("playbooks/stop.yml").rc == 0
    for host in nodes.values():
        assert not host.service(UNIT).is_running
        assert not [line for line in all_processes(host).splitlines() if "ray" in line.lower() and "ps -eo" not in line]
        assert not host.file("/tmp/ray").exists


def test_removal_leaves_no_file(nodes: dict[str, Host], play: Callable[..., Any]) -> None:
    assert play("playbooks/remove.yml").rc == 0
    for host in nodes.values():
        assert not host.run(f"find /etc/fullrank /etc/systemd/system -name '*{NAME}*'").stdout
