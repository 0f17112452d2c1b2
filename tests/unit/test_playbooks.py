# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every playbook begins with the check of the inventory, whatever tags and limits it is run with."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from places import CHECKOUT

CHECK = CHECKOUT / "playbooks/inventory.yml"
WITHOUT_AN_INVENTORY = CHECKOUT / "playbooks/translate.yml"
"""Before there is one: it turns a text into variables, on the controller."""
ALL = [CHECKOUT / "site.yml", *sorted((CHECKOUT / "playbooks").glob("*.yml"))]
PLAYBOOKS = [path for path in ALL if path != WITHOUT_AN_INVENTORY]
INVENTORY = """
all:
  children:
    deployments:
      children:
        tiny: {hosts: {n1: , n2: }, vars: {engine_name: vllm, engine_version: 0.32.0, engine_model: /data/x, engine_prot: 1}}
        other: {hosts: {n3: }, vars: {engine_name: vllm, engine_version: 0.32.0, engine_model: /data/x}}
"""


def plays(path: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The plays of a playbook and of those that it imports, in the order in which they run."""
    for play in yaml.safe_load(path.read_text()):
        if imported := play.get("ansible.builtin.import_playbook"):
            yield from plays(path.parent / imported)
        else:
            yield path, play


@pytest.mark.parametrize("playbook", PLAYBOOKS, ids=lambda path: path.relative_to(CHECKOUT).as_posix())
def test_every_playbook_begins_with_the_check_of_the_inventory(playbook: Path) -> None:
    first, *_others = plays(playbook)
    assert first[0] == CHECK


def test_the_check_runs_whatever_the_tags_and_touches_no_node() -> None:
    ((_path, play),) = plays(CHECK)
    assert (play["tags"], play["gather_facts"]) == (["always"], False)
    check, *others = play["tasks"]
    assert {"fullrank.serving.deployments", "run_once"} <= set(check)
    assert all({"ansible.builtin.add_host", "ansible.builtin.set_fact"} & set(task) for task in others), (
        "what else runs here runs on the controller alone"
    )


def test_nothing_stands_before_the_import_that_brings_the_check() -> None:
    for path in PLAYBOOKS:
        first = yaml.safe_load(path.read_text())[0]
        assert path == CHECK or "ansible.builtin.import_playbook" in first, path.name


@pytest.mark.parametrize(
    "arguments",
    [[], ["-l", "other"], ["-l", "n1"], ["--tags", "verify"], ["--skip-tags", "weights"], ["--check"]],
    ids=lambda arguments: " ".join(arguments) or "plain",
)
def test_a_wrong_inventory_stops_the_chain_before_a_node_is_asked(tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "hosts.yml").write_text(INVENTORY)
    run = subprocess.run(
        [
            str(Path(sys.executable).with_name("ansible-playbook")),
            "site.yml",
            "-i",
            str(tmp_path / "hosts.yml"),
            *arguments,
        ],
        check=False,
        capture_output=True,
        text=True,
        cwd=CHECKOUT,
        timeout=300,
        env=os.environ | {"ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg")},
    )
    assert run.returncode == 2, run.stdout
    cut = arguments == ["-l", "n1"]
    assert f"the inventory: {2 + cut} findings" in run.stdout and "write engine_port" in run.stdout
    assert ("add n2 to --limit" in run.stdout) == cut
    assert "UNREACHABLE" not in run.stdout and run.stdout.count("TASK [") == 1


def test_what_routers_need_of_their_hosts_is_checked_before_engines_start_and_on_no_other_host() -> None:
    chain = list(plays(CHECKOUT / "site.yml"))
    routers = [
        number
        for number, (path, play) in enumerate(chain)
        if path.name == "preflight.yml" and "groups['router']" in play["hosts"]
    ]
    engines = [number for number, (path, _play) in enumerate(chain) if path.name == "engines.yml"]
    assert len(routers) == 1 and routers[0] < min(engines)
    assert chain[routers[0] + 1][1]["tasks"][-1]["ansible.builtin.import_role"]["tasks_from"] == "report"


def test_a_pasted_command_line_becomes_variables(tmp_path: Path) -> None:
    (tmp_path / "command.sh").write_text("vllm serve acme/chat -tp 8 --api-key sk-not-to-be-seen\n")
    target = tmp_path / "chat.yml"
    words = [
        "-i",
        "localhost,",
        "-e",
        f"translate_from={tmp_path}/command.sh",
        "-e",
        f"translate_to={target}",
        "-e",
        "translate_version=0.20.2",
    ]
    run = subprocess.run(
        [sys.executable, "-m", "ansible", "playbook", *words, str(WITHOUT_AN_INVENTORY)],
        capture_output=True,
        text=True,
        check=False,
        cwd=CHECKOUT,
        env=os.environ | {"ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg")},
    )
    assert run.returncode == 0, run.stdout + run.stderr
    written = yaml.safe_load(target.read_text())
    assert (written["engine_version"], written["engine_tensor_parallel_size"]) == ("0.20.2", 8)
    assert "engine_tensor_parallel_size: 8" in run.stdout
    assert "not-to-be-seen" not in run.stdout + target.read_text()
