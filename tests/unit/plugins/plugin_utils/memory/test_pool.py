# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the errors of parts become an interval."""

from __future__ import annotations

import pytest
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.pool import (
    Budget,
    Part,
    larger_by,
    set_size,
    smaller_by,
)


def test_errors_of_parts_add_by_squares() -> None:
    parts = [Part(100, above=3, below=6), Part(50, above=4, below=8)]
    assert smaller_by(parts) == 5 and larger_by(parts) == 10


def test_a_budget_has_both_ends() -> None:
    taken = Budget(0.9, 100, 20, below=30, above=10)
    assert (taken.low, taken.high) == (70, 110)


@pytest.mark.parametrize("value, size", [(None, 0), (0, 0), ("5", 5), (7, 7), ("auto", 0), (-1, 0)])
def test_a_size_that_was_set(value: object, size: int) -> None:
    assert set_size(value) == size
