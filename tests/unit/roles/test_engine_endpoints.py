# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which endpoints are checked from which rank, and by which certificates: variables of the role, without a node."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from places import CHECKOUT

INVENTORY = """
all:
  children:
    deployments: {children: {parrot: {hosts: {west: , east: }}}}
    router: {hosts: {east: }}
  hosts:
    west: {ansible_host: 192.0.2.11}
    east: {ansible_host: 192.0.2.12}
  vars:
    ansible_connection: local
    engine_name: vllm
    engine_version: 0.32.0
    engine_model: /srv/models/parrot
    engine_port: 8123
    router_tls: true
    %s
"""
PLAY = """
- hosts: deployments
  gather_facts: false
  tasks:
    - ansible.builtin.import_role: {name: fullrank.serving.engine, tasks_from: endpoint_check, rolespec_validate: false}
      when: false
    - ansible.builtin.copy:
        content: "{{ {'own': __engine_own_endpoint, 'routers': __engine_router_endpoints} | to_json }}"
        dest: "{{ folder }}/{{ inventory_hostname }}.json"
"""


def endpoints(folder: Path, more: str = "") -> dict[str, Any]:
    """Host → its own endpoint and those of the routers."""
    for name, text in {"hosts.yml": INVENTORY % more, "play.yml": PLAY}.items():
        (folder / name).write_text(text)
    command = [
        Path(sys.executable).with_name("ansible-playbook"),
        "play.yml",
        "-i",
        "hosts.yml",
        "-e",
        f"folder={folder}",
    ]
    environment = {"ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"), "HOME": str(folder), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return {host: json.loads((folder / f"{host}.json").read_text()) for host in ("west", "east")}


def test_a_rank_other_than_the_head_is_asked_at_its_own_address(tmp_path: Path) -> None:
    """The head listens where the router reaches it; that address is not the other ranks'."""
    found = endpoints(tmp_path)
    assert found["west"]["own"]["url"] == "http://192.0.2.11:8123"
    assert found["west"]["own"]["serves"] is True
    assert found["east"]["own"]["url"] == "http://192.0.2.12:8123"
    assert found["east"]["own"]["serves"] is False


def test_a_router_is_known_by_the_certificate_that_it_made(tmp_path: Path) -> None:
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "group_vars/parrot.east.router.pem").write_text("of east\n")
    (tmp_path / "group_vars/parrot.gone.router.pem").write_text("of a former router\n")
    [router] = endpoints(tmp_path)["west"]["routers"]
    assert router["url"].startswith("https://192.0.2.12:")
    assert router["ca_data"].strip() == "of east"


def test_on_the_loopback_every_rank_is_asked_there(tmp_path: Path) -> None:
    found = endpoints(tmp_path, "engine_host: 127.0.0.1")
    assert found["east"]["own"]["url"] == "http://127.0.0.1:8123"
