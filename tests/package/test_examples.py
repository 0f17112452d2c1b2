"""The example inventory of the README, planned without its servers."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]


def test_the_prod_inventory_plans_the_ranks_it_describes(tmp_path: Path) -> None:
    inventory = tmp_path / "prod"
    shutil.copytree(CHECKOUT / "inventories/prod", inventory)
    hosts = inventory / "hosts.yml"
    # loopback addresses on which nobody listens: no other machine is asked
    hosts.write_text(hosts.read_text().replace("192.0.2.", "127.0.0.").replace("ansible_user: root", "ansible_port: 1"))
    command = [Path(sys.executable).parent / "ansible-playbook", "playbooks/plan.yml", "-i", inventory]
    done = subprocess.run(
        [*command, "-e", f"plan_directory={tmp_path}"],
        cwd=CHECKOUT,
        env={
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
            "HOME": str(tmp_path),
            "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"),
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    plan = json.loads((tmp_path / "deepseek_r1.json").read_text())
    assert [(r["rank"], r["host"], r["address"]) for r in plan["ranks"]] == [
        (i, f"gpu{i + 1}", f"127.0.0.{11 + i}") for i in range(4)
    ]
    assert plan["fit"]["verdict"] == "fits"
    assert plan["proposal"]["engine_args"] == {"tensor_parallel_size": 32}
    assert not [one for one in plan["findings"] if one["severity"] == "fail"]
    for rank in plan["ranks"]:
        assert f"--nnodes 4 --node-rank {rank['rank']} " in rank["command"]
        assert "--dist-init-addr 127.0.0.11:25000" in rank["command"]
    assert "tokens that fit" in (tmp_path / "deepseek_r1.txt").read_text()
