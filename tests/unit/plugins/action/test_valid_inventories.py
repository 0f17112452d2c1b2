# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Valid inventories as people write them (valid_inventories.yml): the first step has no finding about them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.vault import VaultLib, VaultSecret
from inventory_vars import first_step

TABLE: dict[str, dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "valid_inventories.yml").read_text())
HOSTS = "deployments: {children: {tiny: {hosts: {n1: , n2: , n3: , n4: }}}}\n"
ENGINE = "engine_name: vllm\nengine_version: 0.32.0\nengine_model: /data/tiny\nengine_tensor_parallel_size: 32\n"


def vaulted(text: str, password: str = "a password") -> str:
    """A text as a value that ansible-vault has encrypted."""
    encrypted = VaultLib([("default", VaultSecret(password.encode()))]).encrypt(text).decode()
    return "!vault |\n" + "".join(f"  {one}\n" for one in encrypted.splitlines())


def test_there_are_enough_of_them() -> None:
    assert len(TABLE) >= 30


@pytest.mark.parametrize("name", TABLE)
def test_a_valid_inventory_is_accepted_without_a_finding(name: str, tmp_path: Path) -> None:
    files = {"hosts.yml": HOSTS, "group_vars/tiny.yml": ENGINE, **TABLE[name]}
    if "hosts.ini" in files:
        files.pop("hosts.yml")
        files.pop("group_vars/tiny.yml")
    written = {
        path: text.replace("VAULTED", vaulted("sk-0123456789")) for path, text in files.items() if text is not None
    }
    result = first_step(tmp_path, written)
    assert result["findings"] == [], result.get("msg")
    assert result["deployments"]


def test_options_of_the_command_line_are_variables_like_others(tmp_path: Path) -> None:
    files = {"hosts.yml": HOSTS, "group_vars/tiny.yml": ENGINE}
    assert first_step(tmp_path, files, {"engine_port": "8001", "nodes_reboot_ok": True})["findings"] == []
    (found,) = first_step(tmp_path, files, {"engine_port": "99999"})["findings"]
    assert found["code"] == "value-range"


def test_a_vault_without_its_password_is_reported_as_that(tmp_path: Path) -> None:
    encrypted = vaulted("sk-0123456789", "another")
    files = {"hosts.yml": HOSTS, "group_vars/tiny.yml": f"{ENGINE}engine_api_key: {encrypted}"}
    (found,) = first_step(tmp_path, files)["findings"]
    assert (found["code"], found["data"]["variable"]) == ("variable-not-readable", "engine_api_key")
    assert "--ask-vault-pass" in found["remedy"]
