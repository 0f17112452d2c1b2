# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A scenario states what differs from .config/molecule/config.yml, and `make test-all` runs each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from places import CHECKOUT

BASE = yaml.safe_load((CHECKOUT / ".config/molecule/config.yml").read_text())
FILES = sorted((CHECKOUT / "molecule").glob("*/molecule.yml"))
NAMES = [file.parent.name for file in FILES]
# what molecule takes by itself: the name of the folder, and a playbook for each step
PLAYBOOKS = ("create", "prepare", "converge", "side_effect", "verify", "cleanup", "destroy")
MAKEFILE = (CHECKOUT / "Makefile").read_text()


def leaves(tree: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Path and value of everything that is not a mapping: molecule merges mappings, and replaces the rest."""
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key), value


def repeated(base: dict[str, Any], scenario: dict[str, Any], name: str) -> list[str]:
    """What the scenario states although it would be the same without it."""
    inherited = {("provisioner", "playbooks", step): f"{step}.yml" for step in PLAYBOOKS}
    inherited |= {("scenario", "name"): name, **dict(leaves(base))}
    return [".".join(path) for path, value in leaves(scenario) if path in inherited and inherited[path] == value]


def targets(makefile: str) -> dict[str, tuple[list[str], list[str]]]:
    """Target → what it needs, and the scenarios that its recipe runs."""
    found: dict[str, tuple[list[str], list[str]]] = {}
    recipe: list[str] = []
    for line in makefile.splitlines():
        if rule := re.match(r"([a-z][a-z-]*):(?! export)([^#=]*)", line):
            recipe = []
            found[rule[1]] = (rule[2].split(), recipe)
        elif run := re.fullmatch(r"\tmolecule test(?: -s (\w+))?", line):
            recipe.append(run[1] or "default")
    return found


def run_by(target: str, rules: dict[str, tuple[list[str], list[str]]]) -> set[str]:
    """The scenarios that a target runs, itself and by what it needs."""
    needs, own = rules.get(target, ([], []))
    return set(own).union(*(run_by(need, rules) for need in needs))


@pytest.mark.parametrize("file", FILES, ids=NAMES)
def test_a_scenario_does_not_repeat_the_base(file: Path) -> None:
    assert repeated(BASE, yaml.safe_load(file.read_text()), file.parent.name) == []


def test_what_counts_as_repeated() -> None:
    base = {"driver": {"name": "default"}, "scenario": {"test_sequence": ["create", "destroy"]}}
    equal = {"driver": {"name": "default"}, "scenario": {"name": "one", "test_sequence": ["create", "destroy"]}}
    assert repeated(base, equal, "one") == ["driver.name", "scenario.name", "scenario.test_sequence"]
    assert repeated(base, {"provisioner": {"playbooks": {"converge": "converge.yml"}}}, "one") != []
    differs = {"driver": {"name": "podman"}, "scenario": {"test_sequence": ["create"]}}
    assert repeated(base, differs, "one") == []


@pytest.mark.parametrize("file", FILES, ids=NAMES)
def test_a_prepare_playbook_is_run_and_one_that_is_run_exists(file: Path) -> None:
    own = yaml.safe_load(file.read_text()).get("scenario", {})
    sequences = {**BASE["scenario"], **own}
    exists = (file.parent / "prepare.yml").exists()
    for name in ("test_sequence", "converge_sequence"):
        assert ("prepare" in sequences[name]) == exists, name
    for step in ("converge", "create", "destroy"):
        named = yaml.safe_load(file.read_text()).get("provisioner", {}).get("playbooks", {}).get(step)
        named = named or BASE["provisioner"]["playbooks"].get(step, f"{step}.yml")
        assert (file.parent / named).is_file(), f"{step}: {named}"


def test_make_runs_every_scenario_and_no_other() -> None:
    rules = targets(MAKEFILE)
    assert {name for _needs, own in rules.values() for name in own} == set(NAMES)
    assert run_by("test-all", rules) == set(NAMES)


def test_a_scenario_without_a_target_is_noticed() -> None:
    rules = targets("test-all: test ## all\n\ntest: lint\n\tmolecule test\n\ntest-lost:\n\tmolecule test -s lost\n")
    assert run_by("test-all", rules) == {"default"}
    assert run_by("test-lost", rules) == {"lost"}


def test_what_is_no_scenario_has_the_name_shared() -> None:
    folders = {path.name for path in (CHECKOUT / "molecule").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders - set(NAMES) == {"shared"}
