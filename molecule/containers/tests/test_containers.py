# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A deployment of two ranks in containers of docker: what runs, what outlives what, and where the key is not."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from helpers import assert_key_required, chat
from testinfra.host import Host

UNIT = "fullrank-rank@boxed.service"
NAME = "fullrank-rank-boxed"
KEY = "sk-boxed-0123456789abcdef"


def ask(nodes: dict[str, Host], key: str | None) -> dict[str, Any]:
    return chat(nodes["n1"].backend.host.name, key)


def containers(host: Host, runtime: str = "docker") -> list[str]:
    return str(host.check_output(f"{runtime} ps --all --format '{{{{.Names}}}}'")).split()


def inspected(host: Host, runtime: str = "docker") -> dict[str, Any]:
    return dict(json.loads(host.check_output(f"{runtime} inspect {NAME}"))[0])


@pytest.mark.parametrize("node", ["n1", "n2"])
def test_a_rank_is_a_container_in_the_foreground_of_its_unit(nodes: dict[str, Host], node: str) -> None:
    host = nodes[node]
    assert host.service(UNIT).is_running
    assert host.service("fullrank-supervisor@boxed.service").is_enabled  # which starts it
    assert containers(host) == [NAME]
    settings = inspected(host)["HostConfig"]
    assert (settings["NetworkMode"], settings["IpcMode"], settings["Privileged"]) == ("host", "host", False)
    assert settings["AutoRemove"] and settings["RestartPolicy"]["Name"] in ("", "no")


def test_all_ranks_run_one_image_by_its_digest(nodes: dict[str, Host]) -> None:
    found = [inspected(host) for host in nodes.values()]
    assert len({one["Image"] for one in found}) == 1
    assert all("@sha256:" in one["Config"]["Image"] for one in found)


def test_only_who_has_the_key_is_answered(nodes: dict[str, Host]) -> None:
    assert ask(nodes, KEY)["usage"]["completion_tokens"] == 8
    assert_key_required(lambda key: ask(nodes, key))


@pytest.mark.parametrize("node", ["n1", "n2"])
def test_the_key_is_in_files_of_root_and_nowhere_else(nodes: dict[str, Host], node: str) -> None:
    host = nodes[node]
    assert KEY not in host.check_output(f"docker inspect {NAME}")
    assert KEY not in host.check_output("ps -eo args")
    assert KEY not in host.check_output("journalctl --no-pager --boot")
    assert KEY not in host.file(f"/etc/systemd/system/{UNIT}").content_string
    found = host.run(f"grep -rlF {KEY} /etc /run /var/lib/fullrank").stdout.split()
    # of the engine, and of the supervisor, which asks for completions
    files = ["/etc/fullrank/boxed.secret.env", "/etc/fullrank/boxed.supervisor.secret.json"] if node == "n1" else []
    assert sorted(found) == files
    assert all(host.file(path).mode == 0o600 for path in found)


def test_a_second_run_changes_nothing(nodes: dict[str, Host], play: Callable[..., Any]) -> None:
    before = {name: inspected(host)["Id"] for name, host in nodes.items()}
    run = play("site.yml")
    assert run.rc == 0
    assert run.changed == 0
    assert {name: inspected(host)["Id"] for name, host in nodes.items()} == before
    assert KEY not in run.text
    assert run.outcome["deployments"]["boxed"]["key"] == {"host": "n1", "path": "/etc/fullrank/boxed.secret.env"}


def test_an_image_that_is_not_to_be_had_stops_nothing(nodes: dict[str, Host], play: Callable[..., Any]) -> None:
    before = {name: inspected(host)["Id"] for name, host in nodes.items()}
    wrong = nodes["n1"].backend.host.name + ":5000/fullrank/engine:0.0.0"
    run = play("playbooks/engines.yml", engine_image=wrong)
    assert run.rc != 0
    assert f"{wrong}: docker pull {wrong} failed" in run.text
    assert {name: inspected(host)["Id"] for name, host in nodes.items()} == before


def test_what_sigkill_leaves_behind_is_cleared_and_the_group_comes_back(nodes: dict[str, Host]) -> None:
    """The runtime's client dies, the container does not: the unit removes it, and the supervisors start all ranks again."""
    before = {name: inspected(host)["Id"] for name, host in nodes.items()}
    nodes["n2"].check_output(f"systemctl kill --signal=KILL {UNIT}")
    for name, host in nodes.items():
        gone = f"while docker container inspect {before[name]} >/dev/null 2>&1; do sleep 1; done"
        host.check_output(f"timeout 120 sh -c '{gone}'")
    nodes["n1"].check_output("timeout 900 sh -c 'until fullrank-check boxed; do sleep 2; done'")
    assert ask(nodes, KEY)["usage"]["completion_tokens"] == 8


def test_podman_takes_over_and_docker_comes_back(nodes: dict[str, Host], play: Callable[..., Any]) -> None:
    """Another runtime is another launch: an upgrade, and a rollback."""
    run = play("playbooks/upgrade.yml", engine_runtime="podman")
    assert run.rc == 0
    assert ask(nodes, KEY)["usage"]["completion_tokens"] == 8
    for host in nodes.values():
        assert (containers(host), containers(host, "podman")) == ([], [NAME])
        assert KEY not in host.check_output(f"podman inspect {NAME}; ps -eo args; journalctl --no-pager --boot")
        settings = inspected(host, "podman")["HostConfig"]
        assert (settings["NetworkMode"], settings["IpcMode"], settings["Privileged"]) == ("host", "host", False)
        assert host.run("fullrank-check boxed").rc == 0
    again = play("playbooks/upgrade.yml", engine_runtime="podman")
    assert (again.rc, again.changed) == (0, 0)
    assert play("playbooks/rollback.yml").rc == 0
    assert [containers(host) for host in nodes.values()] == [[NAME], [NAME]]
    assert [containers(host, "podman") for host in nodes.values()] == [[], []]
    assert ask(nodes, KEY)["usage"]["completion_tokens"] == 8
    # it is the value in the inventory
    assert play("playbooks/upgrade.yml").changed == 0


def test_removal_leaves_no_container(nodes: dict[str, Host], play: Callable[..., Any]) -> None:
    assert play("playbooks/remove.yml").rc == 0
    assert [containers(host) for host in nodes.values()] == [[], []]
    assert not nodes["n1"].file("/etc/fullrank/boxed.secret.env").exists
