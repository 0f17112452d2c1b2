# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/combinations.md has the rows of the table. ``python -m tools.combinations`` makes it again."""

from __future__ import annotations

import re

from tools import combinations


def test_the_page_is_made_from_the_table() -> None:
    assert combinations.PAGE.read_text() == combinations.page()


def test_every_entry_is_on_the_page_with_a_condition_and_a_remedy() -> None:
    page = combinations.page()
    entries = page.split("\n### ")[1:]
    assert len(entries) == combinations.TABLE.read_text().count("\n- id: ")
    for entry in entries:
        assert re.search(r"\n\n- `|\n\n- one of: ", entry), entry.splitlines()[0]
        assert "**What to do:**" in entry
        assert ".." not in entry.split("Source:")[0].replace("…", "")
