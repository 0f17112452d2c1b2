# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node of a transfer knows: its slices, and the nodes that it takes them from."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.weights.transfer.slices import (
    COMPARE,
    HOLD_S,
    LAG_SLICES,
    LEAVE,
    MOST_HOLD_S,
    QUIET_S,
    STAY,
    File,
    Route,
    Shelf,
    Upstream,
    judge,
)

A, B, C = (Upstream(name, f"192.0.2.{number}", 7000) for number, name in enumerate("abc", start=1))


def shelf(*sizes: int) -> Shelf:
    files = [{"path": f"f{i}", "size": size, "sha256": ""} for i, size in enumerate(sizes)]
    return Shelf([File(i, one, Path("/m"), 100) for i, one in enumerate(files)])


def test_a_file_is_cut_into_slices_and_the_last_is_what_is_left() -> None:
    file = shelf(250).files[0]
    assert [file.span(number) for number in range(file.count)] == [(0, 100), (100, 100), (200, 50)]
    assert [one.count for one in shelf(0, 1, 100, 101).files] == [0, 1, 1, 2]
    assert (file.place, file.partial) == (Path("/m/f0"), Path("/m/.fullrank/partial/f0"))


@pytest.mark.parametrize("name", ["", "0", "0/", "0/3", "-1/0", "0/-1", "2/0", "a/0", "0/0/0", "1/0"])
def test_names_of_nothing_find_nothing(name: str) -> None:
    assert shelf(250, 0).find(name) is None


def test_every_slice_is_given_out_once_in_the_order_of_the_manifest() -> None:
    one = shelf(150, 0, 50)
    handed_out = [one.next(wait=False) for _ in range(3)]
    assert [(file.number, number) for file, number in filter(None, handed_out)] == [(0, 0), (0, 1), (2, 0)]
    assert one.next(wait=False) is None
    one.put_back(one.files[0], 1)
    assert one.next(wait=False) == (one.files[0], 1)


def test_what_is_here_is_counted_once_and_forgotten_as_a_whole() -> None:
    one = shelf(150, 50)
    file = one.files[0]
    for _ in range(2):
        one.add(file, 1, crc=7)
    assert (one.slices, one.bytes, one.total, file.crcs) == (1, 50, 200, {1: 7})
    one.add_all(one.files[1])
    one.drop(file)
    assert (one.slices, one.bytes, file.crcs, one.complete) == (1, 50, {}, False)
    one.add_all(file)
    assert one.complete and one.bytes == one.total


def test_a_waiting_thread_learns_when_it_comes_and_when_it_will_not() -> None:
    one = shelf(150)
    found: list[bool] = []
    for number in (0, 1):
        waiting = threading.Thread(target=lambda number=number: found.append(one.wait_for(one.files[0], number)))
        waiting.start()
        if number:
            one.stop("the disk is full")
            one.stop("and another")
        else:
            one.add(one.files[0], 0)
        waiting.join(10)
    assert (found, one.failure) == ([True, False], "the disk is full")
    assert one.next() is None and not one.wait_for(one.files[0], 1, 0)


def test_the_nearest_node_is_taken_and_comes_back_after_a_hold_that_doubles() -> None:
    now = [1000.0]
    route = Route([A, B, C], clock=lambda: now[0])
    assert (route.current(), route.before(A), route.before(C)) == (A, B, None)
    for times in range(12):
        route.leave(A, "gone")
        route.leave(A, "gone")  # by another stream, at the same moment
        assert route.current() == B
        hold = min(HOLD_S * 2**times, MOST_HOLD_S)
        now[0] += hold - 0.01
        assert route.current() == B
        now[0] += 0.02
        assert route.current() == A


def test_a_slow_node_is_left_for_longer_and_when_no_node_is_left_the_reasons_are_known() -> None:
    now = [0.0]
    route = Route([A, B], clock=lambda: now[0])
    assert route.reasons() == "they have nothing new"
    route.leave(A, "slow", MOST_HOLD_S)
    route.leave(B, "timed out")
    assert route.current() is None
    assert route.reasons() == "a: slow; b: timed out"
    now[0] = MOST_HOLD_S - 1
    assert route.current() == B and route.before(A) == B


@pytest.mark.parametrize(
    ("ahead", "quiet_s", "expected"),
    [
        (0, 10 * QUIET_S, STAY),  # no node has more: the source itself is slow
        (1, QUIET_S + 1, LEAVE),
        (1, QUIET_S - 1, STAY),
        (LAG_SLICES, 0, STAY),
        (LAG_SLICES + 1, 0, COMPARE),
        (-5, 100, STAY),
    ],
)
def test_a_node_is_judged_by_what_the_one_before_it_has_more(ahead: int, quiet_s: float, expected: str) -> None:
    assert judge(ahead, quiet_s) == expected
