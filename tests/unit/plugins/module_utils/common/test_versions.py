# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The numbers that a version begins with."""

from __future__ import annotations

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.common.versions import numbers
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("580.95.05", (580, 95, 5)),
        ("5.15.0-130-generic", (5, 15, 0)),
        ("6.12.38+deb13-amd64", (6, 12, 38)),
        ("v0.5.6.post1", (0, 5, 6)),
        ("0.20rc1", (0, 20)),
        (12.8, (12, 8)),
        ("8.", (8,)),
        ("\u0661.\u0662", ()),  # digits, and not ASCII
        ("", ()),
        (None, ()),
        ("latest", ()),
    ],
)
def test_the_leading_numbers(text: object, found: tuple[int, ...]) -> None:
    assert numbers(text) == found


@pytest.mark.parametrize(
    ("version", "than", "is_older"),
    [("0.12.3", "0.12.4", True), ("0.12.10", "0.12.9", False), ("1.0.0", "1.0.0", False), ("0.9.9", "0.12.0", True)],
)
def test_which_version_is_older(version: str, than: str, is_older: bool) -> None:
    assert (numbers(version) < numbers(than)) is is_older


@given(st.lists(st.integers(0, 10**17), min_size=1))
def test_numbers_come_back(given: list[int]) -> None:
    assert numbers(".".join(map(str, given))) == tuple(given)


@given(st.text() | st.integers() | st.none())
def test_anything_may_be_compared(text: object) -> None:
    assert numbers(text) >= ()
