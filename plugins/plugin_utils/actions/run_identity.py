# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which run this is, in a form by which a later run on the same controller knows whether it still lives.

Private to this collection.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def identity(pid: int, proc: Path = Path("/proc")) -> str:
    """The run whose main process is ``pid``: its machine and boot, its pid namespace, and its start, since numbers come again."""
    return json.dumps([*_place(proc), pid, _started(pid, proc)])


def is_dead(run: str, proc: Path = Path("/proc")) -> bool:
    """Whether a run of this place has ended. One of another machine, boot or container is not known to be."""
    try:
        boot, namespace, pid, started = json.loads(run)
    except (ValueError, TypeError):
        return False
    return [boot, namespace] == _place(proc) and boot != "" and _started(int(pid), proc) != started


def why(deployment: str, holder: Mapping[str, Any], path: str, host: str) -> str:
    """What keeps this run from the deployment. host: where the lock is."""
    since = time.strftime("%H:%M:%S", time.localtime(holder["since"]))
    until = time.strftime("%H:%M:%S", time.localtime(holder["until"]))
    return (
        f"another run is at work on {deployment} since {since}, by {holder['by']}: wait until it has ended. "
        f"If it is dead, it keeps others away until {until}, or until {path} on {host} is removed"
    )


def _place(proc: Path) -> list[str]:
    try:
        boot = (proc / "sys/kernel/random/boot_id").read_text().strip()
        return [boot, str((proc / "self/ns/pid").readlink())]
    except OSError:
        return ["", ""]


def _started(pid: int, proc: Path) -> str:
    """When the process started, in ticks after the boot: the 22nd field (proc(5)); empty where none is there, or a zombie."""
    try:
        fields = (proc / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in ("Z", "X") else fields[19]
