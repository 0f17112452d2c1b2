# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Text files of a node that are read, replaced in one step, and shown without their secrets. Private to this collection."""

from __future__ import annotations

import os
from pathlib import Path


def read(path: Path) -> tuple[str, int]:
    """Content and mode of a file; empty and 0 when there is none."""
    try:
        return path.read_text(), path.stat().st_mode & 0o777
    except FileNotFoundError:
        return "", 0


def write(path: Path, content: str, mode: int) -> None:
    """Replace a file in one step; it never has other permissions than ``mode``, not even while it is written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    work = path.with_name(f".{path.name}.new")
    work.unlink(missing_ok=True)
    with os.fdopen(os.open(work, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    work.chmod(mode)  # whatever the umask is
    work.replace(path)


def diff_of(path: Path, before: tuple[str, int], after: tuple[str, int], secret: bool) -> dict[str, str]:
    old, new = before[0], after[0]
    if secret:
        old, new = (text and f"({name} secret)\n" for name, text in (("the old", old), ("the new", new)))
    label = f"{path} (mode {after[1]:04o})"
    return {"before_header": label, "after_header": label, "before": old, "after": new}
