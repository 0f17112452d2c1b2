# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Text files of a node that are read, replaced, and shown without their secrets. Private to this collection."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from ansible_collections.fullrank.serving.plugins.module_utils.common.file_diff import file_diff
from ansible_collections.fullrank.serving.plugins.module_utils.common.files import write


def read(path: Path) -> tuple[str, int]:
    """Content and mode of a file; empty and 0 when there is none."""
    try:
        return path.read_text(), path.stat().st_mode & 0o777
    except FileNotFoundError:
        return "", 0


def _there(state: tuple[str, int]) -> tuple[str, int] | None:
    return None if state == ("", 0) else state


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
        self._note({"prepared": words} if words else file_diff(path, _there(before), (content, mode), secret=secret))
        if not self.check_mode:
            write(path, content, mode)
        return True

    def remove(self, paths: Iterable[Path], root: Path) -> list[Path]:
        """Those that were there. A folder below ``root`` that is empty then goes too; of private files no text is shown."""
        there = [path for path in paths if path.exists()]
        for path in there:
            before = read(path)
            self._note(file_diff(path, before, None, secret=before[1] == 0o600))
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
