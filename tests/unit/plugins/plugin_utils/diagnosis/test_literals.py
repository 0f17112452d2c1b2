# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Text without which a pattern cannot match."""

from __future__ import annotations

import re

import pytest
from ansible_collections.fullrank.serving.plugins.plugin_utils.diagnosis import tables
from ansible_collections.fullrank.serving.plugins.plugin_utils.diagnosis.literals import needed


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("abc", ("abc",)),
        ("abc.{0,40}defgh", ("defgh",)),
        ("abc|defgh", ("abc", "defgh")),
        (r"x(?:abc|defgh)\d+", ("abc", "defgh")),
        (r"(?:abc)?\d+", ()),
        (r"(?i:abc)", ()),
        (r"(?:abc)+", ("abc",)),
        (r"abc|\d+", ()),
        (r"abcd(?!xyz)", ("abcd",)),
        (r"[ab]c", ()),
    ],
)
def test_what_a_pattern_needs(pattern: str, expected: tuple[str, ...]) -> None:
    assert needed(pattern) == expected


def test_most_of_the_table_needs_something() -> None:
    signatures = tables.failures()
    assert len([one for one in signatures if one.needed]) > 0.9 * len(signatures)
    for one in signatures:
        assert not re.compile(one.pattern.pattern).flags & re.IGNORECASE, one.id
