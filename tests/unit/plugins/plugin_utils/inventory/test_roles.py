# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the roles declare, as plugins use it for hosts where a role does not run."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory import endpoints, roles
from places import CHECKOUT


def in_the_role(name: str, **variables: Any) -> Any:
    """A variable of the role deployment as Ansible evaluates it."""
    loader = DataLoader()
    known: dict[str, Any] = {}
    for folder in ("defaults", "vars"):
        path = str(CHECKOUT / f"roles/deployment/{folder}/main.yml")
        known |= loader.load_from_file(path, trusted_as_template=True)
    known |= variables
    return Templar(loader=loader, variables=known).template(known[name])


@pytest.mark.parametrize("variables", [{}, {"engine_rendezvous_port": 700}, {"engine_group_port": 9}])
def test_the_port_of_the_supervisor_is_the_one_that_the_role_computes(variables: dict[str, int]) -> None:
    assert endpoints.group_port(variables) == in_the_role("engine_group_port", **variables)


@pytest.mark.parametrize(
    "variables", [{"engine_model": "/data/tiny"}, {"engine_model": "/x", "engine_served_model_name": "t"}]
)
def test_the_name_for_clients_is_the_one_that_the_role_computes(variables: dict[str, str]) -> None:
    assert endpoints.served_model_name(variables) == in_the_role("engine_served_model_name", **variables)


def test_a_variable_that_is_not_set_has_the_default_of_its_role() -> None:
    assert endpoints.value({}, "engine_port") == in_the_role("engine_port") == 8000
    assert endpoints.value({"engine_port": 1}, "engine_port") == 1
    assert endpoints.value({}, "router_port") == roles.default("router", "router_port")
    with pytest.raises(KeyError):
        roles.default("deployment", "engine_model")


def test_the_options_of_a_role_are_those_of_all_its_entry_points() -> None:
    found = roles.options()
    assert found["engine"].keys() >= {"engine_args", "engine_drain_timeout", "engine_ask_from"}
    assert found["deployment"]["engine_model"]["required"] is True
