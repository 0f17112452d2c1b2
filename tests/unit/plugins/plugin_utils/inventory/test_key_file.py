# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The key that is made where none is set: on the controller, once, and in no output."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory import key_file
from places import CHECKOUT

PLAY = """\
- hosts: deployments
  gather_facts: false
  tasks:
    - fullrank.serving.engine_key: {deployment: qwen}
      register: made
    - ansible.builtin.debug:
        msg: "key of {{ lookup('fullrank.serving.engine_key', 'qwen') | length }} characters"
"""


class Site:
    """An inventory of two heads in a folder, and runs of a play on it, without any connection."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "inventory/group_vars/qwen.key.yml"
        self.file.parent.mkdir(parents=True)
        (folder / "inventory/group_vars/qwen.yml").write_text("engine_port: 8000\n")
        (folder / "play.yml").write_text(PLAY)
        self.hosts({"h1": {}, "h2": {}})

    def hosts(self, hosts: dict[str, dict[str, str]]) -> None:
        text = yaml.safe_dump({"all": {"children": {"deployments": {"children": {"qwen": {"hosts": hosts}}}}}})
        (self.folder / "inventory/hosts.yml").write_text(text)

    def command(self, program: str, *words: str, code: int = 0) -> str:
        command = [Path(sys.executable).parent / program, *words]
        env = os.environ | {"ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg")}
        done = subprocess.run(command, cwd=CHECKOUT, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def run(self, *words: str, code: int = 0) -> str:
        return self.command(
            "ansible-playbook",
            "-vvv",
            "-i",
            str(self.folder / "inventory"),
            str(self.folder / "play.yml"),
            *words,
            code=code,
        )

    def key(self) -> str:
        return str(yaml.safe_load(self.file.read_text())[key_file.VARIABLE])


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_a_key_is_made_once_kept_and_never_shown(site: Site) -> None:
    predicted = site.run("--check", "--diff")
    assert not site.file.exists()
    assert f"{site.file} (mode 0600): a new key" in predicted and "key of 0 characters" in predicted
    written = site.run("--diff")
    assert stat.S_IMODE(site.file.stat().st_mode) == 0o600
    assert f"ansible-vault encrypt {site.file}" in written and f"key of {len(site.key())} characters" in written
    assert len(site.key()) >= 40
    before = site.file.read_text()
    again = site.run()
    assert site.file.read_text() == before
    assert "changed=0" in again and "changed=1" not in again
    assert all(site.key() not in text for text in (predicted, written, again))
    assert [path.name for path in site.file.parent.iterdir() if path.name.startswith(".")] == []


def test_a_key_in_a_vault_is_read_and_one_that_cannot_be_read_opens_nothing(site: Site) -> None:
    site.run()
    key = site.key()
    password = site.folder / "password"
    password.write_text("of the vault\n")
    site.command("ansible-vault", "encrypt", "--vault-password-file", str(password), str(site.file))
    assert key not in site.file.read_text()
    assert f"key of {len(key)} characters" in site.run("--vault-password-file", str(password))
    assert "vault" in site.run(code=2)


def test_a_file_without_a_key_is_refused(site: Site) -> None:
    site.file.write_text("engine_api_kee: x\n")
    assert "holds no engine_api_key; write one, or remove the file" in site.run(code=2)


def test_a_key_that_was_set_wins_in_the_lookup(site: Site) -> None:
    site.run()
    site.hosts({"h1": {"engine_api_key": "sk-mine"}, "h2": {}})
    assert "key of 7 characters" in site.run()


def test_where_it_lies() -> None:
    assert key_file.place({"inventory_dir": "/i"}, "qwen") == "/i/group_vars/qwen.key.yml"
    assert key_file.place({"inventory_dir": "/i", "engine_api_key_file": "/k.yml"}, "qwen") == "/k.yml"
    assert key_file.place({"inventory_dir": None}, "qwen") == ""
