# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers of any config.json."""

from __future__ import annotations

import pytest
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.models.numbers import mapping, number, whole


@pytest.mark.parametrize(
    "value, expected", [(3, 3), ("12", 12), (2.9, 2), (True, 0), (None, 0), (-4, 0), ("x", 0), (1e300, 0), ([], 0)]
)
def test_whole(value: object, expected: int) -> None:
    assert whole(value) == expected


def test_number_and_mapping() -> None:
    assert number("0.5") == 0.5 and number(float("nan"), 7.0) == 7.0
    assert mapping({"a": 1}) == {"a": 1} and mapping([1]) == {}
