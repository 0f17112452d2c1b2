# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The language of the conditions: what each test of a line holds for, and what is no condition."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.combinations import (
    UNKNOWN,
    Combination,
    holds,
    names,
)

FACTS: dict[str, Any] = {
    "n": 4,
    "m": 8,
    "text": "a:b",
    "on": True,
    "off": False,
    "none": None,
    "where": UNKNOWN,
    "size": "16",
}
ENTRY: dict[str, Any] = {
    "id": "x",
    "engine": "vllm",
    "kind": "broken",
    "severity": "refused",
    "when": {"n": 1},
    "where": "n",
    "consequence": "c",
    "remedy": "r",
    "source": "s",
}


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"n": 4}, True),
        ({"n": 5}, False),
        ({"n": [3, 4]}, True),
        ({"n": [3, 5]}, False),
        ({"on": True}, True),
        ({"on": False}, False),
        ({"off": False}, True),
        ({"none": False}, False),
        ({"none": True}, False),
        ({"n": {"above": 3}}, True),
        ({"n": {"above": 4}}, False),
        ({"n": {"below": "m"}}, True),
        ({"m": {"below": "n"}}, False),
        ({"size": {"above": 15}}, True),
        ({"on": {"above": 0}}, False),
        ({"text": {"above": 0}}, False),
        ({"m": {"multiple_of": "n"}}, True),
        ({"n": {"not_multiple_of": "m"}}, True),
        ({"n": {"not_multiple_of": "none"}}, False),
        ({"none": {"below": 3}}, False),
        ({"none": {"default": 1, "below": 3}}, True),
        ({"none": {"not": "x"}}, True),
        ({"text": {"not": ["x", "a:b"]}}, False),
        ({"none": {"set": False}}, True),
        ({"text": {"set": True, "contains": ":"}}, True),
        ({"none": {"contains": ":"}}, False),
        ({"where": {"not": "x"}}, False),
        ({"where": {"set": False}}, False),
        ({"where": {"below": 9}}, False),
        ({"n": 4, "m": 9}, False),
        ({"any": [{"n": 5}, {"m": 8}]}, True),
        ({"any": [{"n": 5}, {"m": 9}]}, False),
    ],
)
def test_conditions(condition: dict[str, Any], expected: bool) -> None:
    assert holds(condition, FACTS.__getitem__) is expected


def test_the_facts_of_a_condition() -> None:
    assert names({"n": {"below": "m"}, "any": [{"text": "x"}, {"on": {"not": True}}]}) == {"n", "m", "text", "on"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"extra": 1},
        {"kind": "other"},
        {"severity": "fail"},
        {"when": {}},
        {"when": {"n": {"larger": 1}}},
        {"when": {"n": {"default": 1}}},
        {"when": {"any": []}},
        {"when": {"any": [{"n": {"larger": 1}}]}},
        {"source": []},
    ],
)
def test_what_is_no_entry(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"^x: "):
        Combination.from_data(ENTRY | wrong)


def test_a_field_that_is_missing() -> None:
    with pytest.raises(ValueError, match="remedy"):
        Combination.from_data({name: value for name, value in ENTRY.items() if name != "remedy"})


def test_versions() -> None:
    entry = Combination.from_data(ENTRY | {"since": "0.5.3.post2", "fixed": "0.5.5.post1"})
    covered = [version for version in ("0.5.3", "0.5.3.post2", "0.5.5", "0.5.5.post1") if entry.covers(version)]
    assert covered == ["0.5.3.post2", "0.5.5"]
    assert Combination.from_data(ENTRY).covers("0.0.1")
