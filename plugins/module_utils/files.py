"""A file replaced in one step: after a crash there is the old one or the new one, whole.

PRIVATE to this collection.
"""

from __future__ import annotations

import os
from pathlib import Path


def write(path: Path, content: str | bytes, mode: int) -> None:
    """Replace a file, or make it with its folders. It never has other permissions than ``mode``, not even while it is written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # hidden, and of an ending that apt, modprobe, sysctl and systemd do not read
    work = path.with_name(f".{path.name}.new")
    work.unlink(missing_ok=True)
    with os.fdopen(os.open(work, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
        file.flush()
        os.fsync(file.fileno())
    work.chmod(mode)  # whatever the umask is
    work.replace(path)
