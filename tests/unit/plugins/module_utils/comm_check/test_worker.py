# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program of the communication check: its plan of pairs and sizes, and that it stands alone."""

from __future__ import annotations

import inspect
from itertools import combinations
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.comm_check import worker
from hypothesis import given, settings
from hypothesis import strategies as st


@pytest.mark.parametrize("count", range(10))
def test_every_pair_meets_once_and_no_rank_is_in_two_pairs_at_a_time(count: int) -> None:
    plan = worker.rounds(count)
    met = [pair for matches in plan for pair in matches]
    assert sorted(met) == list(combinations(range(count), 2))
    for matches in plan:
        busy = [node for pair in matches for node in pair]
        assert len(busy) == len(set(busy))
    assert len(plan) <= count


class Channel:
    """A transfer of known speed, and how often it was used."""

    def __init__(self, bytes_per_second: float) -> None:
        self.rate = bytes_per_second
        self.used: list[int] = []

    def step(self, size: int) -> Any:
        def transfer() -> float:
            self.used.append(size)
            return size / self.rate

        return transfer


def climb(sizes: list[int], rate: float, seconds: float = 1.0) -> tuple[list[tuple[int, float]], Channel]:
    channel = Channel(rate)
    return list(worker.ladder(sizes, seconds, channel.step, lambda value: value)), channel


def test_small_sizes_come_first_and_are_repeated() -> None:
    measured, channel = climb([2**20, 2**10], 1e9)
    assert measured == [(2**10, 2**10 / 1e9), (2**20, 2**20 / 1e9)]
    assert channel.used.count(2**10) == worker.MOST_REPETITIONS + 1


def test_a_size_that_would_take_too_long_is_left_out() -> None:
    measured, channel = climb([2**10, 2**20, 2**22, 2**26], 6e6)  # 50 Mbit/s
    assert [size for size, _ in measured] == [2**10, 2**20, 2**22]
    assert channel.used.count(2**22) == 2
    assert sum(size / 6e6 for size in channel.used) < 5


@settings(max_examples=50)
@given(
    st.lists(st.integers(1, 2**28), min_size=1, max_size=6),
    st.floats(1e3, 1e11),
    st.lists(st.floats(0.5, 2), min_size=2, max_size=2),
)
def test_partners_of_different_speed_make_the_same_transfers(
    sizes: list[int], rate: float, factors: list[float]
) -> None:
    """Agreed numbers decide: no rank waits for a transfer that the other does not make."""
    slowest = rate / max(factors)

    def agree_on(channel: Channel) -> Any:
        return lambda value: value * channel.rate / slowest

    channels = [Channel(rate / factor) for factor in factors]
    for channel in channels:
        list(worker.ladder(sizes, 1.0, channel.step, agree_on(channel)))
    assert len({tuple(sorted(set(channel.used))) for channel in channels}) == 1


def test_the_program_survives_a_systemd_command_line() -> None:
    program = inspect.getsource(worker)
    assert "$" not in program  # would be a variable
    assert len(program.encode()) < 128 * 1024  # MAX_ARG_STRLEN of Linux
    assert "ansible_collections" not in program  # it is alone
