# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The progress of work on a node in one line, its rate, and which lines are shown."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.plugin_utils.actions.progress import Rate, Reporter, line

FETCH: dict[str, Any] = {
    "phase": "fetching",
    "bytes": 12_300_000_000,
    "total": 689_000_000_000,
    "files_done": 5,
    "files": 163,
    "at": 100.0,
}


@pytest.mark.parametrize(
    ("changes", "rate", "text"),
    [
        ({}, 412e6, "fetching 12.3 GB of 689 GB (1.8 %), 412 MB/s, 27 min left, 5 of 163 files"),
        ({}, None, "fetching 12.3 GB of 689 GB (1.8 %), 5 of 163 files"),
        ({}, 0.0, "fetching 12.3 GB of 689 GB (1.8 %), nothing arrives, 5 of 163 files"),
        (
            {"phase": "receiving", "source": "n2"},
            1e9,
            "receiving 12.3 GB of 689 GB (1.8 %), 1 GB/s, 11 min left, 5 of 163 files, from n2",
        ),
        (
            {"phase": "finishing", "bytes": 689_000_000_000, "files_done": 163},
            1e9,
            "finishing 689 GB of 689 GB (100.0 %), 163 of 163 files",
        ),
        ({"phase": "listing", "total": 0}, None, "listing"),
        ({"phase": "", "total": 0}, None, "starting"),
    ],
)
def test_one_format_for_all(changes: dict[str, Any], rate: float | None, text: str) -> None:
    assert line(FETCH | changes, rate) == text


def test_the_rate_is_that_of_the_last_seconds() -> None:
    rate = Rate()
    assert rate.of(FETCH | {"at": 0.0, "bytes": 0}) is None
    assert rate.of(FETCH | {"at": 0.0, "bytes": 0}) is None  # the node has written nothing since
    assert rate.of(FETCH | {"at": 10.0, "bytes": 100}) == 10
    assert rate.of(FETCH | {"at": 20.0, "bytes": 400}) == 20
    assert rate.of(FETCH | {"at": 30.0, "bytes": 700}) == 30
    assert rate.of(FETCH | {"at": 60.0, "bytes": 700}) == 0


def test_the_rate_of_one_phase_is_not_that_of_the_next() -> None:
    rate = Rate()
    rate.of(FETCH | {"phase": "checking", "at": 0.0, "bytes": 0})
    assert rate.of(FETCH | {"phase": "checking", "at": 1.0, "bytes": 9}) == 9
    assert rate.of(FETCH | {"at": 2.0, "bytes": 1}) is None


def test_which_lines_are_shown() -> None:
    reporter = Reporter(every_s=5, unchanged_s=60)
    shown = [
        (now, text)
        for now, phase, text in [
            (0, "start", "starting"),
            (1, "start", "starting"),
            (2, "load", "shard 1/9"),  # a new phase: at once
            (3, "load", "shard 2/9"),
            (6, "load", "shard 4/9"),
            (7, "load", "shard 5/9"),  # a change within a phase: every five seconds
            (20, "load", "shard 5/9"),
            (67, "load", "shard 5/9"),  # nothing new for a minute: the wait goes on
        ]
        if reporter.due(now, phase, text)
    ]
    assert shown == [(0, "starting"), (2, "shard 1/9"), (7, "shard 5/9"), (67, "shard 5/9")]
