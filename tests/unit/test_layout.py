"""The shape of the collection that tools and people rely on."""

from __future__ import annotations

from pathlib import Path

import yaml

CHECKOUT = Path(__file__).resolve().parents[2]


def test_the_checkout_is_the_collection() -> None:
    galaxy = yaml.safe_load((CHECKOUT / "galaxy.yml").read_text())
    link = CHECKOUT / "collections/ansible_collections" / galaxy["namespace"] / galaxy["name"]
    assert link.resolve() == CHECKOUT


def test_every_module_is_in_the_action_group() -> None:
    runtime = yaml.safe_load((CHECKOUT / "meta/runtime.yml").read_text())
    modules = {p.stem for p in (CHECKOUT / "plugins/modules").glob("*.py")}
    assert set(runtime["action_groups"]["serving"]) == modules
