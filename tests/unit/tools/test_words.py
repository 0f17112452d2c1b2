# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private words do not come back, and those that are allowed are not mistaken for them."""

from __future__ import annotations

import pytest

from tools import words


def test_the_checkout_has_no_private_words() -> None:
    assert len(words.files()) > 500
    assert words.faults() == []


@pytest.mark.parametrize(
    ("name", "text", "refused"),
    [
        ("docs/a.md", "ask through every door", ["door"]),
        ("docs/a.md", "back to the launch before", ["the launch before"]),
        ("docs/a.md", "rings the doorbell; a heartbeat; a warehouse; it was asked, given a way", []),
        ("plugins/a.py", "class DoorReport:\n    engine_doors = 1\n", ["door", "doors"]),
        ("plugins/a.py", 'x["asked"] = given.get("a")\n', ["asked", "given"]),
        ("plugins/a.py", '"""A module asked in a given way."""\n', []),
        ("tests/a.py", "from hypothesis import given\n", []),
        ("roles/a/tasks/main.yml", "- name: Ask again\n  register: told\n  vars:\n    __kept: 1\n", ["told", "__kept"]),
        ("roles/a/tasks/kept.yml", "- name: Show\n", ["kept"]),
        ("docs/the-house.md", "plain\n", ["house"]),
    ],
)
def test_private_words_are_found(name: str, text: str, refused: list[str]) -> None:
    assert [line.split("'")[1] for line in words.found(name, text)] == refused
