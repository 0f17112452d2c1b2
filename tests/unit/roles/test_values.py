# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every number of a role has a range, and every rule belongs to an option and lets its default pass."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory import roles
from ansible_collections.fullrank.serving.plugins.plugin_utils.values import formats, ranges
from ansible_collections.fullrank.serving.plugins.plugin_utils.values.check import TEXTS, Expected, check
from places import CHECKOUT

SPECS = roles.options()
NOT_DECIDED = ("host_tuning_sysctl", "host_tuning_limits", "host_tuning_hugepages")
"""Mappings whose values have a table of their own (module_utils/host_tuning/settings.py)."""


def numbers(options: Mapping[str, Any], rules: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(option, its rule) of every number, also inside of options."""
    for name, option in options.items():
        rule = rules.get(name)
        if option.get("elements", option.get("type")) in ("int", "float"):
            yield prefix + name, rule
        yield from numbers(option.get("options", {}), rule if isinstance(rule, dict) else {}, f"{prefix}{name}.")


@pytest.mark.parametrize("role", SPECS)
def test_every_number_has_a_range(role: str) -> None:
    without = [name for name, rule in numbers(SPECS[role], roles.rules()) if not ranges.is_range(str(rule))]
    assert without == [], f"write a range for each into roles/{role}/meta/values.yml, such as 1..65535"


@pytest.mark.parametrize("role", SPECS)
def test_every_rule_is_one_and_belongs_to_an_option_of_its_role(role: str) -> None:
    path = CHECKOUT / "roles" / role / "meta/values.yml"
    rules = yaml.safe_load(path.read_text())
    assert set(rules) <= set(SPECS[role])
    for name, rule in rules.items():
        for one in rule.values() if isinstance(rule, dict) else [rule]:
            assert one == TEXTS or (ranges.parse(one) if ranges.is_range(one) else formats.rule(one)), name
        if isinstance(rule, dict) and "options" in SPECS[role][name]:
            assert set(rule) <= set(SPECS[role][name]["options"])


@pytest.mark.parametrize("role", SPECS)
def test_each_default_is_accepted(role: str) -> None:
    for name, option in SPECS[role].items():
        if option.get("default") is not None and name not in NOT_DECIDED:
            assert list(check(option["default"], Expected(option, roles.rules().get(name)))) == [], name


def test_the_variables_of_playbooks_have_rules_too() -> None:
    own = roles.checked_options()[roles.PLAYBOOKS]
    assert {"mirrors", "nodes_roles", "nodes_reboot_ok"} <= set(own)
    text = "".join(path.read_text() for path in (CHECKOUT / "roles").rglob("*.yml"))
    for name in roles.rules()["mirrors"]:
        assert name in text, f"no role reads mirrors.{name}"


def test_the_roles_of_nodes_are_those_of_the_playbook() -> None:
    plays = yaml.safe_load((CHECKOUT / "playbooks/nodes.yml").read_text())
    (known,) = [play["vars"]["known_roles"] for play in plays if "known_roles" in play.get("vars", {})]
    assert known == list(roles.NODES_ROLES)
