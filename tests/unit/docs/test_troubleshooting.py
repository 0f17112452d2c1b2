# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/troubleshooting.md has the rows of the table. ``python -m tools.troubleshooting`` makes it again."""

from __future__ import annotations

from tools import troubleshooting


def test_the_page_is_made_from_the_table() -> None:
    assert troubleshooting.PAGE.read_text() == troubleshooting.page()


def test_every_entry_is_on_the_page_and_every_chapter_has_one() -> None:
    page = troubleshooting.page()
    assert page.count("\n### ") == sum(
        path.read_text().count("\n- id: ") for path in troubleshooting.TABLES.glob("*.yml")
    )
    for chapter in page.split("\n## ")[1:]:
        assert "\n### " in chapter, chapter.splitlines()[0]
