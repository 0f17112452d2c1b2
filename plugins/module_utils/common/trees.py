# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Folders with all that is in them: how large, what exactly, and emptied. For copies that must keep everything.

PRIVATE to this collection.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

LOST_AND_FOUND = "lost+found"
"""Every new ext4 has one; it holds no data."""


def walk(folder: Path) -> Iterator[tuple[Path, str]]:
    """Everything below a folder as (path, path from the folder)."""
    for parent, folders, files in os.walk(folder):
        base = os.path.relpath(parent, folder)
        for name in folders + files:
            yield Path(parent) / name, os.path.normpath(os.path.join(base, name))  # noqa: PTH118


def used(folder: Path) -> tuple[int, int]:
    """Bytes on disk and number of inodes below a folder; hard links count once."""
    seen: dict[tuple[int, int], int] = {}
    for path, _unused in walk(folder):
        status = path.lstat()
        seen[status.st_dev, status.st_ino] = status.st_blocks * 512
    return sum(seen.values()), len(seen)


def listing(folder: Path) -> dict[str, tuple[Any, ...]]:
    """Path → what makes up an entry, for the comparison of a copy: kind, permissions, owner, size, time, device, xattrs."""
    found: dict[str, tuple[Any, ...]] = {}
    for path, name in walk(folder):
        status = path.lstat()
        kind = stat.S_IFMT(status.st_mode)
        if kind == stat.S_IFSOCK:
            continue  # the listener makes it again
        regular = kind == stat.S_IFREG
        found[name] = (
            status.st_mode,
            status.st_uid,
            status.st_gid,
            status.st_size if regular else 0,
            int(status.st_mtime) if regular else 0,
            status.st_rdev if kind in (stat.S_IFCHR, stat.S_IFBLK) else 0,
            str(path.readlink()) if kind == stat.S_IFLNK else "",
            tuple(sorted((key, os.getxattr(path, key, follow_symlinks=False)) for key in _xattrs(path))),
        )
    return found


def _xattrs(path: Path) -> list[str]:
    try:
        return os.listxattr(path, follow_symlinks=False)
    except OSError:  # a file system without them
        return []


def entries(folder: Path) -> tuple[str, ...]:
    """Names of what is in a folder; nothing where there is none."""
    return tuple(sorted(one.name for one in _children(folder)))


def empty(folder: Path) -> None:
    """Remove what is in a folder. The folder may be a mount point and stays."""
    for child in _children(folder):
        if child.is_dir() and not child.is_symlink():
            shutil.rmtree(child)
        else:
            child.unlink()


def _children(folder: Path) -> list[Path]:
    return [one for one in folder.iterdir() if one.name != LOST_AND_FOUND] if folder.is_dir() else []
