# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every program of the project names its licence in the first lines, as a public project does."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from places import CHECKOUT

HEADER = [
    "# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)",
    "# SPDX-License-Identifier: GPL-3.0-or-later",
]
FOLDERS = ("examples", "molecule", "plugins", "roles", "tests", "tools")
WITHOUT = {
    "plugins/plugin_utils/launch/engines/ray_gate.py": "its text is in the launch hash: a new byte restarts every Ray deployment",
}


def programs() -> list[str]:
    """Paths of the Python files and of the scripts with an interpreter line; recordings of other programs are left out."""
    listed = subprocess.run(
        ["git", "ls-files", *FOLDERS], cwd=CHECKOUT, capture_output=True, text=True, check=True
    ).stdout
    return [name for name in listed.splitlines() if is_program(CHECKOUT / name) and "/data/" not in name]


def is_program(path: Path) -> bool:
    if path.is_symlink() or not path.is_file() or not path.stat().st_size:
        return False
    with path.open("rb") as file:
        return path.suffix == ".py" or file.read(2) == b"#!"


def has_header(text: str) -> bool:
    lines = text.splitlines()[:3]
    return (lines[1:] if lines and lines[0].startswith("#!") else lines)[:2] == HEADER


def test_every_program_has_the_licence_header() -> None:
    found = programs()
    assert len(found) > 300
    assert [name for name in found if name not in WITHOUT and not has_header((CHECKOUT / name).read_text())] == []


def test_the_exceptions_are_still_needed() -> None:
    assert [name for name in WITHOUT if has_header((CHECKOUT / name).read_text())] == []


@pytest.mark.parametrize(
    ("text", "accepted"),
    [
        ("\n".join([*HEADER, '"""Text."""']), True),
        ("\n".join(["#!/usr/bin/python", *HEADER]), True),
        ("\n".join([HEADER[0], "", '"""Text."""']), False),
        ('"""Text."""\n', False),
    ],
)
def test_a_header_is_two_lines_at_the_top(text: str, accepted: bool) -> None:
    assert has_header(text) is accepted
