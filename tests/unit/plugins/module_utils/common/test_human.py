# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bytes, rates and times for people."""

from __future__ import annotations

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.common import human
from hypothesis import given
from hypothesis import strategies as st

GIB = 2**30


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (0.4, "0 B"),
        (1023, "1023 B"),
        (2**10, "1 KiB"),
        (8388608, "8 MiB"),
        (2**26, "64 MiB"),
        (740 * GIB, "740 GiB"),
        (79.66 * GIB, "79.7 GiB"),
        (5 * 1024 * GIB, "5120 GiB"),
        (-1.5 * GIB, "-1.5 GiB"),
    ],
)
def test_what_is_held(count: float, text: str) -> None:
    assert human.binary(count) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (10**9, "1 GB"),
        (12_300_000_001, "12.3 GB"),
        (688.6e9, "688.6 GB"),
        (2e15, "2000 TB"),
    ],
)
def test_what_moves(count: float, text: str) -> None:
    assert human.decimal(count) == text
    assert human.rate(count) == f"{text}/s"


@given(st.floats(0, 1e18))
def test_no_more_than_one_decimal(count: float) -> None:
    for text in (human.binary(count), human.decimal(count)):
        number, unit = text.split(" ")
        assert float(number) >= 0 and len(number.partition(".")[2]) <= 1 and unit


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.000012, "12 us"),
        (0.0342, "34.2 ms"),
        (2.5, "2.5 s"),
        (30, "30 s"),
        (89.4, "89 s"),
        (90, "2 min"),
        (3599, "60 min"),
        (7500, "2 h 05 min"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert human.duration(seconds) == text


@pytest.mark.parametrize(("seconds", "text"), [(None, "-"), (59, "0m59s"), (3661, "1h01m"), (90061, "1d01h")])
def test_ages(seconds: int | None, text: str) -> None:
    assert human.age(seconds) == text
