# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file on the controller with a key that was made for a deployment. Pure; private to this collection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

VARIABLE = "engine_api_key"


def place(variables: Mapping[str, Any], deployment: str) -> str:
    """Where the key of ``deployment`` lies. variables: of one of its hosts.

    Beside the group's variables and not among them: Ansible reads a folder ``group_vars/NAME`` instead of a file
    ``group_vars/NAME.yml``, and every other folder of an inventory as an inventory. Empty when there is no inventory on disk.
    """
    if path := variables.get("engine_api_key_file"):
        return str(path)
    folder = variables.get("inventory_dir")
    return f"{folder}/group_vars/{deployment}.key.yml" if folder else ""


def text(deployment: str, path: str, key: str) -> str:
    """The file's content."""
    return (
        f"---\n# Clients of {deployment} must send this key, made because none was set. It stays until the file is removed.\n"
        f'# Encrypt it: ansible-vault encrypt {path}\n{VARIABLE}: "{key}"\n'
    )


def key_of(content: Any, path: str) -> str:
    """The key in what was read. ValueError: there is none."""
    key = str((content.get(VARIABLE) if isinstance(content, Mapping) else None) or "")
    if not key:
        raise ValueError(f"{path} holds no {VARIABLE}; write one, or remove the file to have one made")
    return key
