# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The EXAMPLES of the public NCCL plugins, run by ansible-playbook on this machine, and what comes out of them."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from places import CHECKOUT


def examples(plugin: str) -> str:
    module = importlib.import_module(f"ansible_collections.fullrank.serving.plugins.{plugin}")
    return str(module.EXAMPLES)


def run(plugin: str, folder: Path, **variables: Any) -> dict[str, Any]:
    """The facts that the examples of a plugin set, run as the tasks of one play on localhost."""
    tasks = yaml.safe_load(examples(plugin))
    facts = [name for task in tasks for name in task.get("ansible.builtin.set_fact", {})]
    result = folder / "result.json"
    content = "{{ {" + ", ".join(f"'{name}': {name}" for name in facts) + "} | to_json }}"
    tasks.append({"name": "Keep the facts", "ansible.builtin.copy": {"dest": str(result), "content": content}})
    play = {"name": plugin, "hosts": "localhost", "gather_facts": False, "vars": variables, "tasks": tasks}
    (folder / "play.yml").write_text(yaml.safe_dump([play], sort_keys=False))
    command = [
        Path(sys.executable).with_name("ansible-playbook"),
        "-i",
        "localhost,",
        "-c",
        "local",
        folder / "play.yml",
    ]
    env = {**os.environ, "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"), "ANSIBLE_LOCAL_TEMP": str(folder / "tmp")}
    done = subprocess.run(list(map(str, command)), env=env, capture_output=True, text=True, check=False, cwd=CHECKOUT)
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(result.read_text())
    return found


def test_nccl_env(tmp_path: Path) -> None:
    facts = run("filter.nccl_env", tmp_path)
    nccl = facts["nccl"]
    claims = re.findall(r'^# nccl\.ranks\.(\w+)\.env\.(\w+): "(.*)"$', examples("filter.nccl_env"), re.MULTILINE)
    assert len(claims) == 4
    assert {(rank, name): nccl["ranks"][rank]["env"].get(name) for rank, name, _ in claims} == {
        (rank, name): value for rank, name, value in claims
    }
    for rank in nccl["ranks"].values():
        assert rank["reasons"].keys() == rank["env"].keys() and all(rank["reasons"].values())
    assert {"NCCL_IB_HCA", "NCCL_SOCKET_IFNAME"} <= set(nccl["per_host"])
    assert list(facts["nccl_of_this_play"]["ranks"]) == ["localhost"], "of the facts that the modules read here"


def test_nccl_lint(tmp_path: Path) -> None:
    facts = run("filter.nccl_lint", tmp_path)
    found = {(one["severity"], one["code"], one["where"]) for one in facts["findings"]}
    assert ("fail", "invalid-value", "engine_env.NCCL_IB_TIMEOUT") in found
    assert any(code == "prefix-trap" and where == "engine_env.NCCL_IB_HCA" for _, code, where in found)
    assert any(where == "engine_env.NCCL_DEBUG" for _, _, where in found)
    order = [("fail", "warn", "info").index(one["severity"]) for one in facts["findings"]]
    assert order == sorted(order), "worst first"
    assert facts["findings_of_file"] == []


def test_nccl_profile(tmp_path: Path) -> None:
    own = tmp_path / "profiles"
    own.mkdir()
    facts = run("lookup.nccl_profile", tmp_path, own_profiles=str(own))
    assert facts["profile"]["env"]["NCCL_IB_TC"] == 41
    sample = yaml.safe_load(
        importlib.import_module("ansible_collections.fullrank.serving.plugins.lookup.nccl_profile").RETURN
    )
    assert facts["profiles"][0] == sample["_raw"]["sample"][0]
    assert facts["profiles"][1]["name"] == "roce"


@pytest.mark.parametrize("plugin", ["filter.nccl_env", "filter.nccl_lint", "lookup.nccl_profile"])
def test_every_shipped_profile_and_option_is_documented(plugin: str) -> None:
    module = importlib.import_module(f"ansible_collections.fullrank.serving.plugins.{plugin}")
    documented = yaml.safe_load(module.DOCUMENTATION)
    for options in (documented["options"], *(one.get("suboptions", {}) for one in documented["options"].values())):
        for name, option in options.items():
            assert option["description"] and option["type"], f"{plugin}: {name}"
    if plugin == "lookup.nccl_profile":
        files = (CHECKOUT / "plugins/plugin_utils/data/nccl_profiles").glob("*.yml")
        assert set(re.findall(r"V\(([\w-]+)\)", documented["description"][2])) == {file.stem for file in files}
