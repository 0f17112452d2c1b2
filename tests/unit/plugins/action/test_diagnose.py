# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The secrets that the action takes out of what a node sent."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import VaultLib
from ansible_collections.fullrank.serving.plugins.action.diagnose import vaulted
from inventory_vars import SECRETS, vault_password


@pytest.fixture(scope="module", autouse=True)
def password() -> None:
    vault_password()


def loaded(text: str) -> Any:
    """A file of variables as Ansible reads it."""
    return DataLoader().load(text)


def cipher(text: str) -> str:
    return VaultLib(SECRETS).encrypt(text).decode()


@pytest.mark.parametrize("name", ["x", "engine_api_key"])
def test_what_comes_from_a_vault_is_a_secret_whatever_its_name(name: str) -> None:
    block = "".join(f"    {line}\n" for line in cipher("planted-4711").splitlines())
    variables = loaded(f"open: visible\ndeep:\n- {name}: !vault |\n{block}")
    assert vaulted(variables) == ["planted-4711"]


def test_what_comes_from_no_vault_is_not_one() -> None:
    assert vaulted(loaded("a: b\nc: [1, true, null]\n")) == []
