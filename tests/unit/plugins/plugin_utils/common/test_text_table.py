# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables of plain text."""

from __future__ import annotations

from ansible_collections.fullrank.serving.plugins.plugin_utils.common.text_table import some, table
from hypothesis import given
from hypothesis import strategies as st


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert table([["check", "n"], ["a", "12"]]) == ["check  n", "a      12"]
    assert table([["check", "n"], ["a", "12"]], right=(1,)) == ["check   n", "a      12"]


@given(st.lists(st.tuples(st.text("ab", max_size=5), st.text("cd", min_size=1, max_size=5)), min_size=1))
def test_every_column_begins_or_ends_at_one_place(rows: list[tuple[str, str]]) -> None:
    wide = max(len(row[0]) for row in rows)
    for row, line in zip(rows, table(rows), strict=True):
        assert line[wide + 2 :] == row[1]
    assert len({len(line) for line in table(rows, right=(1,))}) == 1


def test_many_names_are_cut_off() -> None:
    assert some(["a", "b", "c", "d"]) == "a, b, c, d"
    assert some(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"
