# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lookup `endpoint`, and what lookups about a deployment report of a name that there is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleLookupError
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import lookup_loader
from inventory_vars import task_vars

HOSTS = """
all:
  children:
    deployments:
      children:
        tiny: {hosts: {n1: {ansible_host: 192.0.2.1}}}
        empty: {}
    router: {hosts: {gw: {ansible_host: 192.0.2.9}}}
"""


def ask(folder: Path, lookup: str, name: str) -> Any:
    return lookup_loader.get(f"fullrank.serving.{lookup}", loader=DataLoader()).run([name], task_vars(folder, HOSTS))


def test_where_a_deployment_behind_a_router_answers(tmp_path: Path) -> None:
    (found,) = ask(tmp_path, "endpoint", "tiny")
    assert found["url"] == "http://192.0.2.9:8080/v1" and found["replicas"][0]["url"] == "http://192.0.2.1:8000/v1"


@pytest.mark.parametrize("lookup", ["endpoint", "engine_key", "router_keys"])
@pytest.mark.parametrize(
    ("name", "words"),
    [("nope", "there is no deployment 'nope': the inventory has tiny, empty"), ("empty", "'empty' has no host")],
)
def test_a_name_that_is_no_deployment_is_reported_with_those_that_are(
    tmp_path: Path, lookup: str, name: str, words: str
) -> None:
    with pytest.raises(AnsibleLookupError, match=words) as raised:
        ask(tmp_path, lookup, name)
    assert str(raised.value).startswith(f"fullrank.serving.{lookup}: ")
