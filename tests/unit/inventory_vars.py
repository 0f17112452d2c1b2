# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Inventories as Ansible itself reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.vars.hostvars import HostVars
from ansible.vars.manager import VariableManager


def task_vars(folder: Path, text: str) -> dict[str, Any]:
    """The variables of a task on the controller that tell what the inventory is. text: of ``folder/hosts.yml``."""
    source = folder / "hosts.yml"
    source.write_text(text)
    loader = DataLoader()
    inventory = InventoryManager(loader, sources=[str(source)])
    variables = VariableManager(loader, inventory)
    return {"groups": inventory.get_groups_dict(), "hostvars": HostVars(inventory, variables, loader)}
