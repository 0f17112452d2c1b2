# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Inventories as Ansible itself reads them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import VaultSecret, VaultSecretsContext
from ansible.vars.hostvars import HostVars
from ansible.vars.manager import VariableManager
from ansible_collections.fullrank.serving.plugins.action.deployments import ActionModule

NO_LIMIT: dict[str, Any] = {"hosts": None, "whole": "nothing", "works_on": [], "of": [], "tags": []}
"""Options of a first step without a run."""
SECRETS = [("default", VaultSecret(b"a password"))]


def task_vars(folder: Path, text: str) -> dict[str, Any]:
    """The variables of a task on the controller that tell what the inventory is. text: of ``folder/hosts.yml``."""
    source = folder / "hosts.yml"
    source.write_text(text)
    loader = DataLoader()
    inventory = InventoryManager(loader, sources=[str(source)])
    variables = VariableManager(loader, inventory)
    return {"groups": inventory.get_groups_dict(), "hostvars": HostVars(inventory, variables, loader)}


def vault_password() -> None:
    """The password of `SECRETS`, as ansible-playbook has one: once in a process."""
    if VaultSecretsContext.current(optional=True) is None:
        VaultSecretsContext.initialize(VaultSecretsContext(SECRETS))


def first_step(folder: Path, files: Mapping[str, str], extra_vars: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What the first step of every playbook answers about an inventory of files. files: path below the folder → text.

    Sources are the files that lie in the folder itself.
    """
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    loader = DataLoader()
    vault_password()
    inventory = InventoryManager(loader, sources=[str(folder / name) for name in files if "/" not in name])
    variables = VariableManager(loader, inventory)
    variables._extra_vars = dict(extra_vars or {})
    action = ActionModule.__new__(ActionModule)
    action._loader = loader
    known = {"groups": inventory.get_groups_dict(), "hostvars": HostVars(inventory, variables, loader)}
    return action.answer({"check_variables": True, "required": True, **NO_LIMIT}, known)
