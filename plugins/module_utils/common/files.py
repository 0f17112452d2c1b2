# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A file replaced in one step: after a crash there is the old one or the new one, whole. Private to this collection."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path


def write(
    path: Path, content: str | bytes, mode: int, owner: tuple[int, int] | None = None, *, lasting: bool = True
) -> None:
    """Replace a file, or make it with its folders. It never has wider permissions than ``mode``, not even while it is written.

    Two that write the same file at the same time do not disturb each other. owner: uid and gid; who writes when None. lasting:
    False for what a running program reports about itself every second or so: a sync then may take seconds on a busy disk, and
    after a crash the report is worthless anyway. Raises OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # hidden, and of an ending that apt, modprobe, sysctl and systemd do not read
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".new", dir=path.parent)
    work = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            if owner:
                os.fchown(file.fileno(), *owner)
            if lasting:
                os.fsync(file.fileno())
        work.chmod(mode)  # whatever the umask is
        work.replace(path)
        if lasting:
            sync_folder(path.parent)
    except OSError:
        work.unlink(missing_ok=True)
        raise


def place(work: Path, target: Path) -> None:
    """Put a finished file of the same file system into its place. Raises OSError."""
    with work.open("rb") as file:
        os.fsync(file.fileno())
    target.parent.mkdir(parents=True, exist_ok=True)
    work.replace(target)
    sync_folder(target.parent)


def remove_empty(*folders: str) -> None:
    """Remove those of the folders that are there and empty, in their order."""
    for folder in folders:
        with contextlib.suppress(OSError):  # it is not there, or something is in it
            Path(folder).rmdir()


def sync_folder(folder: Path) -> None:
    """Make what was renamed or removed in ``folder`` lasting."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
