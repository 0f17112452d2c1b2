# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The dashboard: what Grafana's own types make of it, and that it asks what it should. There is no Grafana here."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from rule_files import CHECKOUT, FILES

from tools import dashboard

sys.path.append(str(CHECKOUT / ".cache/monitoring/python"))


@pytest.fixture(scope="module")
def written() -> dict[str, Any]:
    return dict(json.loads((FILES / "dashboard.json").read_text()))


def test_what_is_committed_is_what_would_be_made() -> None:
    assert (FILES / "dashboard.json").read_text() == dashboard.text(), "run: python -m tools.dashboard"


def lost(before: Any, after: Any, where: str = "") -> Iterator[str]:
    """What of ``before`` is not in ``after``, or is something else there."""
    if isinstance(before, dict):
        for key, value in before.items():
            if isinstance(after, dict) and key in after:
                yield from lost(value, after[key], f"{where}.{key}")
            else:
                yield f"{where}.{key}"
    elif isinstance(before, list):
        for number, value in enumerate(before):
            there = after[number] if isinstance(after, list) and number < len(after) else None
            yield from lost(value, there, f"{where}[{number}]")
    elif before != after:
        yield f"{where}: {before!r} became {after!r}"


def round_trip(model: dict[str, Any]) -> dict[str, Any]:
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.cog.plugins import register_default_plugins
    from grafana_foundation_sdk.models.dashboard import Dashboard

    register_default_plugins()
    return dict(json.loads(JSONEncoder().encode(Dashboard.from_json(model))))


def test_nothing_is_lost_on_the_way_through_grafanas_own_types(written: dict[str, Any]) -> None:
    assert list(lost(written, round_trip(written))) == []


def test_what_grafana_does_not_know_is_noticed(written: dict[str, Any]) -> None:
    panels = [{**written["panels"][0], "titel": "misspelt"}, *written["panels"][1:]]
    assert list(lost({**written, "panels": panels}, round_trip({**written, "panels": panels}))) == [".panels[0].titel"]


def test_panels_do_not_overlap(written: dict[str, Any]) -> None:
    cells: set[tuple[int, int]] = set()
    for one in written["panels"]:
        place = one["gridPos"]
        mine = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not mine & cells, one["title"]
        assert place["x"] + place["w"] <= dashboard.WIDTH, one["title"]
        cells |= mine
    assert len({one["id"] for one in written["panels"]}) == len(written["panels"])


def test_it_asks_for_rules_that_there_are(written: dict[str, Any]) -> None:
    groups = yaml.safe_load((FILES / "rules.yml").read_text())["groups"]
    rules = {rule["record"] for group in groups for rule in group["rules"]}
    used = {
        name
        for one in written["panels"]
        for query in one["targets"]
        for name in re.findall(r"fullrank:[\w:]+", query["expr"])
    }
    assert used == rules, "a rule that no panel uses need not be recorded"


def test_every_panel_describes_what_it_means(written: dict[str, Any]) -> None:
    assert all(len(one["description"]) > 10 for one in written["panels"])
