# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Text files of a node that are read, replaced, and shown without their secrets. Private to this collection."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from ansible_collections.fullrank.serving.plugins.module_utils.common.files import write


def read(path: Path) -> tuple[str, int]:
    """Content and mode of a file; empty and 0 when there is none."""
    try:
        return path.read_text(), path.stat().st_mode & 0o777
    except FileNotFoundError:
        return "", 0


def diff_of(path: Path, before: tuple[str, int], after: tuple[str, int], secret: bool) -> dict[str, str]:
    old, new = before[0], after[0]
    if secret:
        old, new = (text and f"({name} secret)\n" for name, text in (("the old", old), ("the new", new)))
    label = f"{path} (mode {after[1]:04o})"
    return {"before_header": label, "after_header": label, "before": old, "after": new}


class Changes:
    """Files brought to what they should be: every change is noted, and made unless in check mode."""

    def __init__(self, check_mode: bool) -> None:
        self.check_mode = check_mode
        self.changed = False
        self.diff: list[dict[str, str]] = []

    def write(self, path: Path, content: str, mode: int, words: str = "", *, secret: bool = False) -> bool:
        """Whether the file differed. words: what is shown of it instead of its text."""
        before = read(path)
        if before == (content, mode):
            return False
        self._note({"prepared": words} if words else diff_of(path, before, (content, mode), secret))
        if not self.check_mode:
            write(path, content, mode)
        return True

    def remove(self, paths: Iterable[Path], root: Path) -> list[Path]:
        """Those that were there. A folder below ``root`` that is empty then goes too; of private files no text is shown."""
        there = [path for path in paths if path.exists()]
        for path in there:
            before = read(path)
            self._note(diff_of(path, before, ("", before[1]), before[1] == 0o600))
            if not self.check_mode:
                path.unlink()
                if path.parent.parent == root and not any(path.parent.iterdir()):
                    path.parent.rmdir()
        return there

    def remove_folder(self, path: Path) -> None:
        """A folder with all that is in it."""
        if path.exists():
            self._note({"prepared": f"{path}: removed\n"})
            if not self.check_mode:
                shutil.rmtree(path)

    def _note(self, diff: dict[str, str]) -> None:
        self.changed = True
        self.diff.append(diff)
