# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lookup `router_keys`: from a real inventory to what routers get to know of keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import lookup_loader
from inventory_vars import task_vars

HOSTS = """
all:
  children:
    tiny:
      hosts: {n1: }
      vars:
        engine_api_key: the-engines-own-key
        router_keys: {team-b: {key: the-key-of-team-b}, team-a: {key: the-key-of-team-a, rate: 9}}
    plain:
      hosts: {n2: }
"""


@pytest.fixture
def variables(tmp_path: Path) -> dict[str, Any]:
    return task_vars(tmp_path, HOSTS)


def ask(variables: dict[str, Any], *names: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = lookup_loader.get("fullrank.serving.router_keys", loader=DataLoader()).run(
        list(names), variables
    )
    return found


def test_the_engines_key_and_the_hashes_of_all(variables: dict[str, Any]) -> None:
    found = ask(variables, "tiny")
    assert [one["name"] for one in found] == ["engine", "team-a", "team-b"]
    assert found[0]["key"] == "the-engines-own-key" and len({one["sha256"] for one in found}) == 3
    assert "the-key-of-team" not in str(found) and all("key" not in one for one in found[1:])


def test_a_deployment_without_keys_and_one_whose_key_is_not_made_yet(variables: dict[str, Any]) -> None:
    assert ask(variables, "plain") == []
    (one,) = ask({**variables, "ansible_check_mode": True}, "plain")
    assert one["key"] == "to-be-made"
