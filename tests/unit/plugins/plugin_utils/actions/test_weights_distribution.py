# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which node takes from which, in which pieces, and what prevents it."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.plugin_utils.actions.weights_distribution import (
    LARGEST_SLICE,
    MIB,
    SMALLEST_SLICE,
    distribute,
    shared,
    slice_for,
    streams_for,
)

PATH = "/srv/models/m"
GB = 10**9
MANIFEST = {"files": [{"path": "a", "size": 3 * GB, "sha256": ""}, {"path": "b", "size": GB, "sha256": ""}]}


def copy(number: int, ready: bool = False, **changes: Any) -> dict[str, Any]:
    return {
        "ready": ready,
        "why_not": "" if ready else "no manifest",
        "manifest_sha256": "one" if ready else "",
        "manifest": MANIFEST if ready else None,
        "sizes": {},
        "partial_bytes": 0,
        "free_bytes": 100 * GB,
        "address": f"192.0.2.{number}",
        "port": 7000 + number,
        "link_gbps": 25.0,
        **changes,
    }


def codes(findings: list[dict[str, str]]) -> list[tuple[str, str]]:
    return [(one["code"], one["where"]) for one in findings]


def test_each_takes_from_the_one_before_and_falls_back_to_the_source() -> None:
    plan, findings = distribute(PATH, "n1", {"n1": copy(1, True), "n2": copy(2), "n3": copy(3)})
    assert plan and not findings
    assert {host: [one["name"] for one in part.upstreams] for host, part in plan.parts.items()} == {
        "n1": [],
        "n2": ["n1"],
        "n3": ["n2", "n1"],
    }
    assert plan.parts["n3"].upstreams[0] == {"name": "n2", "address": "192.0.2.2", "port": 7002}
    assert [part.receives for part in plan.parts.values()] == [False, True, True]
    assert plan.peers == ["192.0.2.1", "192.0.2.2", "192.0.2.3"]


def test_a_late_node_needs_three_givers_at_most() -> None:
    copies = {f"n{i}": copy(i, i != 4) for i in range(1, 8)}
    plan, _ = distribute(PATH, "n4", copies)
    assert plan and list(plan.parts) == ["n1", "n2", "n3", "n4"]
    assert [one["name"] for one in plan.parts["n4"].upstreams] == ["n1", "n2", "n3"]


def test_the_copy_of_the_source_counts_and_an_old_one_is_replaced() -> None:
    plan, findings = distribute(PATH, "n2", {"n1": copy(1, True, manifest_sha256="old"), "n2": copy(2, True)})
    assert plan and not findings
    assert plan.parts["n1"].receives and not plan.parts["n2"].receives


def test_nothing_is_sent_when_all_have_it() -> None:
    plan, findings = distribute(PATH, "n1", {"n1": copy(1, True), "n2": copy(2, True)})
    assert plan and plan.parts == {} and findings == []


def test_all_that_stands_against_it_comes_at_once() -> None:
    copies = {
        "n1": copy(1, True),
        "n2": copy(2, address=""),
        "n3": copy(1),
        "n4": copy(4, free_bytes=4 * GB),
        "n5": copy(5, free_bytes=3 * GB, sizes={"a": 3 * GB}),
    }
    plan, findings = distribute(PATH, "n1", copies)
    assert plan is None
    assert codes(findings) == [
        ("no-address", "model_distribute_address of n2"),
        ("same-address", "model_distribute_address of n3"),
        ("disk-full", f"{PATH} on n4"),
    ]
    assert "3.7 GiB of 3.7 GiB are missing, and 3.7 GiB are free; 1 GiB must stay so" in findings[2]["message"]


def test_without_one_right_copy_nothing_is_guessed() -> None:
    _, findings = distribute(PATH, "n1", {"n1": copy(1), "n2": copy(2)})
    assert codes(findings) == [("no-copy", PATH)]
    assert "n1: no manifest; n2: no manifest" in findings[0]["message"]
    _, findings = distribute(
        PATH, "n1", {"n1": copy(1), "n2": copy(2, True), "n3": copy(3, True, manifest_sha256="two")}
    )
    assert codes(findings) == [("two-copies", PATH)]


def test_a_shared_copy_must_be_seen_by_all() -> None:
    copies = {"n1": copy(1, True), "n2": copy(2, True), "n3": copy(3), "n4": copy(4, True, manifest_sha256="two")}
    assert codes(shared(PATH, "n1", copies)) == [("not-shared", f"{PATH} on n3"), ("not-shared", f"{PATH} on n4")]
    del copies["n3"], copies["n4"]
    assert shared(PATH, "n1", copies) == []


@pytest.mark.parametrize(
    ("total", "nodes", "streams", "expected"),
    [(689 * GB, 8, 2, LARGEST_SLICE), (100_000_000, 8, 2, SMALLEST_SLICE), (8 * GB, 8, 2, 14 * MIB)],
)
def test_slices_fill_the_chain_soon(total: int, nodes: int, streams: int, expected: int) -> None:
    assert slice_for(total, nodes, streams) == expected


def test_fast_links_get_more_streams_when_all_are_fast() -> None:
    assert [streams_for(rates) for rates in ([], [0.0], [25.0], [200.0, 100.0], [200.0, 25.0], [200.0, 0.0])] == [
        2,
        2,
        2,
        8,
        2,
        8,
    ]
