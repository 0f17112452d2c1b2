# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The names of plays, tasks and handlers are read alone, in a list of events: each states what is done with which thing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from places import CHECKOUT

FILES = [
    path
    for pattern in ("site.yml", "playbooks/*.yml", "roles/*/tasks/*.yml", "roles/*/handlers/*.yml")
    for path in sorted(CHECKOUT.glob(pattern))
]
VERBS = frozenset(
    """
    Agree Apply Bring Build Check Compare Complete Configure Convert Disable Distribute Drain Enable Fail Fetch
    Gather Generate Install Keep List Load Make Measure Merge Monitor Move Plan Prepare Pull Read Reboot Rebuild
    Record Refuse Reload Remove Render Report Request Restart Restore Return Roll Run Send Show Skip Start Stop Translate
    Uninstall Unload Upgrade Verify Wait Write
    """.split()
)
# "it" as the object of a verb names nothing; "until it is ready" refers to the object before
BARE = re.compile(r"^\w+( \w+)? (it|them|everything|all of it|all of them)\b|\b(them|whom|nobody|everybody)\b")


def named(node: Any) -> Iterator[str]:
    """The names of everything in a file that a run shows."""
    if isinstance(node, list):
        for one in node:
            yield from named(one)
    elif isinstance(node, dict):
        if "name" in node:
            yield node["name"]
        for key in ("tasks", "block", "rescue", "always", "pre_tasks", "post_tasks", "handlers"):
            yield from named(node.get(key))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_a_name_is_a_verb_with_its_object(path: Path) -> None:
    for name in named(yaml.safe_load(path.read_text())):
        verb, _unused, thing = name.partition(" ")
        assert verb in VERBS and thing, name
        assert not BARE.search(name), name


@pytest.mark.parametrize("role", sorted(path.name for path in (CHECKOUT / "roles").iterdir()))
def test_what_changes_nothing_reads_only(role: str) -> None:
    """A name that promises no change is that of ``precheck``, and no task of it makes a key or a file."""
    for path in (CHECKOUT / "roles" / role / "tasks").glob("*.yml"):
        for task in yaml.safe_load(path.read_text()):
            if "without changing anything" in task["name"]:
                assert task["ansible.builtin.import_tasks"] == "precheck.yml", task["name"]
    precheck = CHECKOUT / "roles" / role / "tasks/precheck.yml"
    if precheck.exists():
        assert not re.search(r"engine_key:|builtin\.(copy|template|file|command|shell|apt|pip):", precheck.read_text())


def test_the_rule_refuses_what_it_is_made_for() -> None:
    assert BARE.search("Start it in rank order") and BARE.search("Show all of it") and BARE.search("Install them")
    assert not BARE.search("Start each rank and wait until it is ready")
