# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which run is at work on a replica: a file in /run of its head. Private to this collection.

Two runs at once would each stop what the other starts. A lock holds until its run releases it, until its time is over, or until
the next boot of the head; whether its run still lives is known on the run's own controller only (the action `run_lock`).
"""

from __future__ import annotations

import fcntl
import json
from pathlib import Path
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.systemd import names

Holder = dict[str, Any]
"""id (of the run), by (for people), since and until (seconds since the epoch)."""


def change(path: Path, now: float, take: Holder | None, own: str, over: str = "") -> Holder:
    """Take the lock, or release it where ``take`` is None. The run that holds it otherwise; empty when there is none.

    own: the id of this run; what it holds already it takes again. over: the id of a run that is known to be dead.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        holder = _holder(file)
        if holder and holder["id"] not in (own, over) and holder["until"] > now:
            return holder if take else {}
        file.seek(0)
        file.truncate()
        if take:
            since = holder["since"] if holder and holder["id"] == own else now
            file.write(json.dumps({**take, "id": own, "since": since}))
    return {}


def held(path: Path, now: float, own: str) -> Holder:
    """The other run that holds the lock, without a change."""
    try:
        with path.open(encoding="utf-8") as file:
            holder = _holder(file)
    except OSError:
        return {}
    return holder if holder and holder["id"] != own and holder["until"] > now else {}


def _holder(file: Any) -> Holder:
    file.seek(0)
    try:
        found = json.loads(file.read())
        return found if {"id", "by", "since", "until"} <= set(found) else {}
    except (ValueError, TypeError):
        return {}


def place(deployment: str) -> Path:
    """The file of a deployment's lock."""
    return Path(names.run_lock(deployment))
