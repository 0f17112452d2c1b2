# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A file replaced in one step: after a crash there is the old one or the new one, whole. Private to this collection."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def write(path: Path, content: str | bytes, mode: int, owner: tuple[int, int] | None = None) -> None:
    """Replace a file, or make it with its folders. It never has wider permissions than ``mode``, not even while it is written.

    Two that write the same file at the same time do not disturb each other. owner: uid and gid; who writes when None.
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
            os.fsync(file.fileno())
        work.chmod(mode)  # whatever the umask is
        work.replace(path)
    except OSError:
        work.unlink(missing_ok=True)
        raise
