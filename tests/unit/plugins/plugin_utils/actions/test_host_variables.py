# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The variables of a host as the controller evaluates them (host_variables), in real inventories."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible_collections.fullrank.serving.plugins.plugin_utils.actions import host_variables
from ansible_collections.fullrank.serving.plugins.plugin_utils.actions.host_variables import HostVariables
from inventory_vars import task_vars


def host(folder: Path, variables: dict[str, Any]) -> HostVariables:
    group = {"children": {"tiny": {"hosts": {"n1": {}, "n2": {}}, "vars": variables}}}
    known = task_vars(folder, yaml.safe_dump({"all": {"children": {"deployments": group}}}, sort_keys=False))
    return HostVariables(DataLoader(), known["hostvars"], "n1")


@pytest.mark.parametrize(
    "expression",
    [
        "{{ ansible_default_ipv4.address }}",
        "{{ ansible_facts.default_ipv4.address }}",
        "{{ ansible_facts['processor_vcpus'] }}",
        "{{ mine }}",
        "{{ engine_rendezvous.address }}",
    ],
)
def test_what_only_a_node_can_tell_is_unknown(tmp_path: Path, expression: str) -> None:
    found = host(tmp_path, {"engine_host": expression, "mine": "{{ ansible_hostname }}"}).read(["engine_host"])
    assert (found.unknown, found.values, found.unread) == ({"engine_host"}, {}, {})


def test_the_part_of_a_mapping_that_can_be_known_is(tmp_path: Path) -> None:
    args = {"a": 1, "b": "{{ ansible_processor_vcpus }}", "c": "{{ 1 + 1 }}"}
    assert host(tmp_path, {"engine_args": args}).read(["engine_args"]).values == {"engine_args": {"a": 1, "c": 2}}


def test_what_is_not_set_is_reported_with_the_nearest_name(tmp_path: Path) -> None:
    found = host(tmp_path, {"my_address": "192.0.2.1", "engine_host": "{{ my_addres }}"}).read(["engine_host"])
    assert found.unread == {"engine_host": ("my_addres, which it is made of, is not set", "write my_address")}


def test_variables_of_roles_can_be_used(tmp_path: Path) -> None:
    known = host(tmp_path, {"engine_port": "{{ 8000 + deployment_rank }}", "engine_model": "/data/x"})
    assert known.read(["engine_port"]).values == {"engine_port": 8000}
    assert known.of_roles("engine_served_model_name") == "x"
    assert host(tmp_path, {"engine_rendezvous_port": "29500"}).of_roles("engine_group_port") == 29600


def test_a_place_is_that_of_the_value_or_of_what_is_around_it(tmp_path: Path) -> None:
    known = host(tmp_path, {"engine_port": 8000, "engine_args": {"a": 1, "b": True}, "engine_dynamic_user": False})
    lines = (tmp_path / "hosts.yml").read_text().splitlines()
    (number,) = [number for number, text in enumerate(lines, 1) if text.strip() == "engine_port: 8000"]
    assert known.place("engine_port") == f"hosts.yml:{number}"
    assert known.place("engine_args", ["a"]).startswith("hosts.yml:")
    assert known.place("engine_args", ["b"]).startswith("hosts.yml:")
    assert known.place("engine_dynamic_user") == ""
    assert known.place("not_set") == ""


def test_without_origins_there_is_no_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a later ansible-core has them elsewhere."""
    monkeypatch.setattr(host_variables, "Origin", None)
    known = host(tmp_path, {"engine_port": 8000})
    assert (known.place("engine_port"), known.written("engine_prot")) == ("", "engine_prot of n1")


def test_a_variable_that_others_are_made_of_is_in_use(tmp_path: Path) -> None:
    known = host(tmp_path, {"engine_ver": "0.32.0", "engine_version": "{{ engine_ver }}", "engine_vers": 1})
    assert [known.uses(name) for name in ("engine_ver", "engine_vers")] == [True, False]


@pytest.mark.parametrize(
    ("listens", "url"),
    [
        ("0.0.0.0", "http://127.0.0.1:8000"),
        ("::", "http://[::1]:8000"),
        ("fd00::1", "http://[fd00::1]:8000"),
        ("192.0.2.1", "http://192.0.2.1:8000"),
        ("head.example.com", "http://head.example.com:8000"),
    ],
)
def test_the_head_reaches_itself_by_a_url_whatever_it_listens_on(tmp_path: Path, listens: str, url: str) -> None:
    assert host(tmp_path, {"engine_host": listens}).of_roles("deployment_local_url") == url
