# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""LMDeploy, as far as there is no GPU: its real command line under the units of a rank, on one node, and over Ray on two.

What serves behind it is a stand-in (tests/standins/lmdeploy_without_gpu), which uses LMDeploy's own way into the Ray cluster.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers import assert_key_required, post
from testinfra.host import Host

INVENTORY = Path(__file__).resolve().parents[1] / "lmdeploy"
KEY = "sk-lmdeploy-0123456789abcdef"
PORTS = {"alone": ("n1", 8100), "spread": ("n2", 8200)}


def ask(nodes: dict[str, Host], deployment: str, key: str | None) -> dict[str, Any]:
    node, port = PORTS[deployment]
    body = {"model": "tiny", "prompt": "Are all ranks up?", "max_tokens": 1}
    return post(f"http://{nodes[node].backend.host.name}:{port}/v1/completions", body, key)


def test_without_a_stand_in_it_comes_as_far_as_its_question_for_the_gpu(
    nodes: dict[str, Host], play: Callable[..., Any], tmp_path: Path
) -> None:
    inventory = tmp_path / "inventory"
    shutil.copytree(INVENTORY, inventory)
    hosts = yaml.safe_load((inventory / "hosts.yml").read_text())
    for group in ("gpu_nodes", "deployments"):
        del hosts["all"]["children"][group]["children"]["spread"]
    (inventory / "hosts.yml").write_text(yaml.safe_dump(hosts))
    run = play("site.yml", inventory=inventory, engine_venv="/opt/fullrank/lmdeploy", engine_env={}, engine_args={})
    assert run.rc != 0
    assert "Torch not compiled with CUDA enabled" in run.printed
    assert KEY not in run.text
    assert not nodes["n1"].service("fullrank-rank@alone.service").is_running


def test_both_come_up_and_a_second_run_changes_nothing(nodes: dict[str, Host], play: Callable[..., Any]) -> None:
    assert play("site.yml", inventory=INVENTORY).rc == 0
    again = play("site.yml", inventory=INVENTORY)
    assert (again.rc, again.changed) == (0, 0)
    for deployment, (node, _port) in PORTS.items():
        assert nodes[node].run(f"fullrank-check {deployment}").rc == 0


def test_lmdeploys_processes_are_on_all_nodes_of_its_ray(nodes: dict[str, Host]) -> None:
    assert ask(nodes, "alone", KEY)["nodes"] == []
    assert ask(nodes, "spread", KEY)["nodes"] == [host.backend.host.name for host in nodes.values()]


@pytest.mark.parametrize("deployment", PORTS)
def test_the_key_reaches_only_the_server(nodes: dict[str, Host], deployment: str) -> None:
    assert_key_required(lambda key: ask(nodes, deployment, key))
    for host in nodes.values():
        assert KEY not in host.check_output("ps -eo args; journalctl --no-pager --boot")
    assert (
        KEY
        not in nodes[PORTS[deployment][0]]
        .file(f"/etc/systemd/system/fullrank-rank@{deployment}.service")
        .content_string
    )


def test_removal_leaves_nothing(nodes: dict[str, Host], play: Callable[..., Any]) -> None:
    assert play("playbooks/remove.yml", inventory=INVENTORY).rc == 0
    for host in nodes.values():
        assert not host.run("find /etc/fullrank /etc/systemd/system -name '*alone*' -o -name '*spread*'").stdout
        assert "/raylet/raylet " not in host.check_output("ps -eo args")
