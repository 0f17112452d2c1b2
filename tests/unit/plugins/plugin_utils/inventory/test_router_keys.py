# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The named keys of clients."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory import router_keys

KEY = "a-key-of-the-tests"
HASH = hashlib.sha256(KEY.encode()).hexdigest()


def test_a_router_gets_hashes_and_limits() -> None:
    named = {"team-b": {"sha256": HASH, "rate": 60}, "team-a": {"key": "another-key-of-the-tests", "concurrency": "8"}}
    assert router_keys.wrong(named, "here") == []
    assert router_keys.hashes(named)["team-b"] == HASH
    assert router_keys.hashes({"x": {"key": KEY}}) == {"x": HASH} and router_keys.digest(KEY) == HASH
    assert router_keys.limits(named) == [
        {"name": "team-a", "concurrency": 8, "rate": 0},
        {"name": "team-b", "concurrency": 0, "rate": 60},
    ]


@pytest.mark.parametrize(
    ("named", "part"),
    [
        (["team-a"], "no dict"),
        ({"Team A": {"key": KEY}}, "metrics cannot have this name"),
        ({"engine": {"key": KEY}}, "a key cannot have this name"),
        ({"a": KEY}, "no dict"),
        ({"a": {}}, "no key, or two"),
        ({"a": {"key": KEY, "sha256": HASH}}, "no key, or two"),
        ({"a": {"key": "short"}}, "shorter than 16"),
        ({"a": {"key": "with a space in the middle"}}, "no header can have"),
        ({"a": {"sha256": HASH.upper()}}, "64 hexadecimal digits"),
        ({"a": {"key": KEY, "rate": -1}}, "rate is not a number"),
        ({"a": {"key": KEY, "rate": "²"}}, "rate is not a number"),
        ({"a": {"key": [KEY]}}, "no text"),
        ({"a": {"key": 1234567890123456}}, "no text"),
        ({KEY: "team-a"}, "no dict"),
        ({KEY: {"key": "team-a"}}, "shorter than 16"),
        ({"a": {"key": KEY, KEY: 1}}, "nothing reads name 2"),
        ({"a": {"key": KEY, "concurrency": True}}, "concurrency is not a number"),
        ({"a": {"key": KEY, "limit": 7}}, "nothing reads limit"),
        ({"a": {"key": KEY}, "b": {"sha256": HASH}}, "a has the same key"),
    ],
)
def test_what_is_wrong_is_reported_without_the_key(named: Any, part: str) -> None:
    (one,) = router_keys.wrong(named, "here")
    assert part in one["message"]
    assert KEY not in str(one)


def test_the_engines_own_key_is_no_teams() -> None:
    named = {"a": {"sha256": HASH, "rate": 1}}
    assert router_keys.wrong(named, "here", "another-key-of-the-tests") == []
    (one,) = router_keys.wrong(named, "here", KEY)
    assert "the engine's own key" in one["message"] and KEY not in str(one)
