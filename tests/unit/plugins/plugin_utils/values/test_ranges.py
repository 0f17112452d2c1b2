# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ranges of numbers, as roles write them."""

from __future__ import annotations

import pytest
from ansible_collections.fullrank.serving.plugins.plugin_utils.values import ranges
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("1..65535", [1, 65535], [0, 65536, -1]),
        ("0, 30..86400", [0, 30, 86400], [1, 29, 86401]),
        ("-1, 0..8", [-1, 0, 8], [-2, 9]),
        ("0.001..3600", [0.001, 1], [0, 3601]),
        ("7", [7], [6, 8]),
    ],
)
def test_a_range_holds_what_is_in_it(text: str, inside: list[float], outside: list[float]) -> None:
    found = ranges.parse(text)
    assert [one for one in inside + outside if found.holds(one)] == inside


@pytest.mark.parametrize("text", ["", "a", "1..", "..5", "5..1", "3..4, 1..2", "1-5", "path"])
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no range|does not ascend"):
        ranges.parse(text)


@given(st.integers(-10, 100000))
def test_the_nearest_number_is_in_the_range(number: int) -> None:
    found = ranges.parse("0, 30..86400")
    assert found.holds(found.nearest(number))


def test_a_range_reads_well() -> None:
    assert [str(ranges.parse(one)) for one in ("1..65535", "0, 30..86400", "0.5..1")] == [
        "1 to 65535",
        "0, or 30 to 86400",
        "0.5 to 1",
    ]
