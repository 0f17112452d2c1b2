# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every entry point of a role is specified with the options that it reads, and each default stands once."""

from __future__ import annotations

import re
from typing import Any

import entry_points
import pytest
import yaml
from places import CHECKOUT

BY_A_PLAYBOOK = {"comm_check": {"comm_check_gate"}}
"""Options that no task of the role reads, but a playbook: they stand beside those of ``main``."""

WITHOUT_THE_OTHER = {
    "preflight": {"engine_args", "engine_env", "model_fetch_path", "model_fetch_host"},
    "nvidia_container_toolkit": {"docker_runtime", "docker_restart_ok"},
}
"""Variables of a role that need not be used on the same hosts."""

ENTRIES = [(role, entry) for role in entry_points.NAMES for entry in entry_points.specs(role)]


def used() -> set[tuple[str, str]]:
    """(role, entry point) of every use in playbooks, scenarios and pages, and every ``main``."""
    text = "".join(
        path.read_text()
        for pattern in ("playbooks/*.yml", "molecule/**/*.yml", "docs/**/*.md", "roles/*/tasks/*.yml")
        for path in CHECKOUT.glob(pattern)
    )
    found = re.findall(r"fullrank\.serving\.(\w+),?\s+(?:\w+: [^\n]+\s+)*?tasks_from: (\w+)", text)
    mains = [(role, "main") for role in entry_points.NAMES if (entry_points.ROLES / role / "tasks/main.yml").exists()]
    return {*found, *mains}


def test_every_entry_point_that_is_used_is_specified() -> None:
    assert used() - set(ENTRIES) == set()
    assert len(used()) > len(entry_points.NAMES)


@pytest.mark.parametrize(("role", "entry"), ENTRIES, ids=":".join)
def test_an_entry_point_has_a_description_and_the_options_that_it_reads(role: str, entry: str) -> None:
    spec = entry_points.specs(role)[entry]
    assert spec["short_description"]
    assert (entry_points.ROLES / role / f"tasks/{entry}.yml").exists()
    if (role, entry) == ("deployment", "variables"):
        return  # it checks the variables of other roles and reads none
    extra = BY_A_PLAYBOOK.get(role, set()) if entry == "main" else set()
    assert set(spec.get("options", {})) == entry_points.reads(role, entry) | extra


def test_no_two_roles_declare_one_variable() -> None:
    declared = [
        name
        for role in entry_points.NAMES
        for name in {**entry_points.variables(role, "defaults"), **entry_points.options(role)}
        if not name.startswith("__")
    ]
    assert sorted(name for name in set(declared) if declared.count(name) > 1) == []


@pytest.mark.parametrize("role", entry_points.NAMES)
def test_a_default_is_what_its_option_documents(role: str) -> None:
    """What is computed has no documented default, and what is fixed has."""
    options = entry_points.options(role)
    for name, value in entry_points.variables(role, "defaults").items():
        if "{{" not in str(value):
            assert options[name].get("default", "") == value, name
        else:
            assert "default" not in options[name], name


@pytest.mark.parametrize("role", entry_points.NAMES)
def test_a_documented_default_is_there_when_the_role_runs(role: str) -> None:
    documented = {name for name, option in entry_points.options(role).items() if "default" in option}
    missing = documented - set(entry_points.variables(role, "defaults"))
    assert missing == BY_A_PLAYBOOK.get(role, set())


@pytest.mark.parametrize("role", entry_points.NAMES)
def test_no_role_repeats_a_default_of_another_one(role: str) -> None:
    """``x | default(literal)`` of a variable that another role declares with a default would be a second default."""
    others = {
        name: value
        for other in entry_points.NAMES
        if other != role
        for name, value in entry_points.variables(other, "defaults").items()
    }
    text = "".join(
        path.read_text() for path in (entry_points.ROLES / role).rglob("*") if path.suffix in (".yml", ".j2")
    )
    repeated = {name for name in re.findall(r"(\w+)\s*\|\s*d(?:efault)?\((?!omit)", text) if name in others}
    assert repeated <= WITHOUT_THE_OTHER.get(role, set())


@pytest.mark.parametrize("role", entry_points.NAMES)
def test_a_role_uses_no_private_variable_of_another_role(role: str) -> None:
    files = [path for path in (entry_points.ROLES / role).rglob("*") if path.suffix in (".yml", ".j2")]
    private = {name for path in files for name in re.findall(r"(?<![\w.])__([a-z]\w*)", path.read_text())}
    others = tuple(f"{other}_" for other in entry_points.NAMES if other != role and not role.startswith(other))
    assert [name for name in private if name.startswith(others)] == []


def test_playbooks_use_no_private_variable() -> None:
    for path in (CHECKOUT / "playbooks").rglob("*.yml"):
        assert not re.search(r"(?<!\w)__\w", path.read_text()), path.name


def test_playbooks_enter_roles_without_a_validation_on_each_node() -> None:
    """They all begin with playbooks/inventory.yml, which checks the variables of all roles at once."""
    for path in (CHECKOUT / "playbooks").glob("*.yml"):
        for play in yaml.safe_load(path.read_text()):
            for task in play.get("tasks", []):
                included: dict[str, Any] = (
                    task.get("ansible.builtin.import_role") or task.get("ansible.builtin.include_role") or {}
                )
                assert not included or included["rolespec_validate"] is False, f"{path.name}: {task['name']}"
