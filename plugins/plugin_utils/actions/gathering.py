# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files that a diagnosis has gathered from the nodes, on the controller. Private to this collection."""

from __future__ import annotations

from pathlib import Path

from ansible import constants as C


def place() -> Path:
    """Where this run gathers: in its own temporary folder, which Ansible removes."""
    return Path(C.DEFAULT_LOCAL_TMP) / "fullrank-diagnose"


def keep(folder: Path, files: dict[str, str]) -> None:
    """Write files (name → text) into a folder, which is made where it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_text(content)
