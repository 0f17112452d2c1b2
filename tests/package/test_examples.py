# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The example inventories, planned without their servers."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]


def planned(name: str, tmp_path: Path) -> tuple[dict[str, Any], str]:
    """The plan of an example inventory, as data and as a page, made without its servers."""
    inventory = tmp_path / name
    shutil.copytree(CHECKOUT / "inventories" / name, inventory)
    hosts = inventory / "hosts.yml"
    # loopback addresses on which no process listens: no other machine is contacted
    hosts.write_text(hosts.read_text().replace("192.0.2.", "127.0.0.").replace("ansible_user: root", "ansible_port: 1"))
    command = [Path(sys.executable).parent / "ansible-playbook", "playbooks/plan.yml", "-i", inventory]
    done = subprocess.run(
        [*command, "-e", f"plan_directory={tmp_path}/plans"],
        cwd=CHECKOUT,
        env={
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
            "HOME": str(tmp_path),
            "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"),
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads((tmp_path / "plans/deepseek_r1.json").read_text()), (
        tmp_path / "plans/deepseek_r1.txt"
    ).read_text()


@pytest.mark.parametrize(
    ("name", "first_address", "nodes", "tensor_parallel"),
    [("prod", 11, 4, 32), ("h20", 21, 2, 16)],
)
def test_an_example_inventory_plans_the_ranks_it_describes(
    tmp_path: Path, name: str, first_address: int, nodes: int, tensor_parallel: int
) -> None:
    plan, page = planned(name, tmp_path)
    assert [(r["rank"], r["address"]) for r in plan["ranks"]] == [
        (i, f"127.0.0.{first_address + i}") for i in range(nodes)
    ]
    assert plan["fit"]["verdict"] == "fits"
    assert plan["proposal"]["engine_args"] == {"tensor_parallel_size": tensor_parallel}
    assert not [one for one in plan["findings"] if one["severity"] == "fail"]
    # a router on the head is what clients reach
    assert plan["endpoint"] == f"http://127.0.0.{first_address}:8080/v1"
    assert "--host 127.0.0.1 --port 30000" in plan["ranks"][0]["command"]
    for rank in plan["ranks"]:
        assert f"--nnodes {nodes} --node-rank {rank['rank']} " in f"{rank['command']} "
        assert f"--dist-init-addr 127.0.0.{first_address}:25000" in rank["command"]
    assert "tokens that fit" in page
