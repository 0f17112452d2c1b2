# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a node's part in a transfer of weights is asked for, called and started. Pure; private to this collection."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

RUN = "/run/fullrank"
PACKAGE = "fullrank_transfer"
PROGRAM = f"{PACKAGE}.weights.transfer.peer"

STATES = ("inspected", "started", "awaited", "stopped")
OPTIONS: dict[str, dict[str, Any]] = {
    "state": {"type": "str", "choices": list(STATES), "required": True},
    "path": {"type": "path", "required": True},
    "address": {"type": "str", "default": ""},
    "interface": {"type": "str", "default": ""},
    "port": {"type": "int", "default": 0},
    "deployment": {"type": "str", "default": ""},
    "method": {"type": "str", "choices": ["chain", "rsync", "shared"], "default": "chain"},
    "rsh": {"type": "str", "default": "ssh -o BatchMode=yes -o ConnectTimeout=5"},
    "copies": {"type": "dict", "default": {}},
    "source": {"type": "str", "default": ""},
    "source_pending": {"type": "bool", "default": False},
    "streams": {"type": "int", "default": 0},
    "stall_timeout": {"type": "int", "default": 60},
    "linger": {"type": "int", "default": 600},
    "timeout": {"type": "int", "default": 86400},
}
"""What a task may say; the module's documentation says what it means."""
OPTIONS_ON_THE_NODE: dict[str, dict[str, Any]] = {
    **OPTIONS,
    # what the action asks again and again, and what it decided
    "state": {"type": "str", "choices": [*STATES, "running"], "required": True},
    "part": {"type": "dict"},
    "token": {"type": "str", "no_log": True},
}


def transfer_id(root: str) -> str:
    """The name of the transfer into a folder: several models on one node have several, and one folder never two."""
    return f"fullrank-weights-{hashlib.sha256(root.encode()).hexdigest()[:12]}"


def transient_unit(unit: str, folder: str, root: str, python: str, seconds: int) -> list[str]:
    """The command that starts the program below ``folder`` as a unit which ends by itself, whatever becomes of us.

    It may write below the model's folder and its own only. What holds the token goes when it ends, however it ends.
    """
    properties = [
        f"RuntimeMaxSec={seconds}",
        "TimeoutStopSec=5",
        "KillMode=control-group",
        "LimitNOFILE=65536",
        "UMask=0022",
        "NoNewPrivileges=yes",
        "PrivateTmp=yes",
        "ProtectSystem=strict",
        f"ReadWritePaths={RUN} {root}",
        # systemd itself removes it, which a command after the end would not do when the whole unit is killed
        f"RuntimeDirectory={folder.removeprefix('/run/')}",
        "RuntimeDirectoryMode=0700",
    ]
    return [
        "systemd-run",
        f"--unit={unit}",
        "--description=fullrank weights transfer",
        "--collect",
        "--quiet",
        "--service-type=exec",
        *(f"--property={one}" for one in properties),
        f"--setenv=PYTHONPATH={folder}",
        "--",
        python,
        "-m",
        PROGRAM,
        f"{folder}/config.json",
    ]


def outlook(progress: Mapping[str, Any], before: Mapping[str, Any] | None) -> str:
    """One line for people: percent, rate and time left; ``before`` is an earlier progress, for the rate."""
    total = progress["total"] or 1
    if progress["state"] == "checking":
        return f"checking what is here already, {gigabytes(progress['checked'])}"
    text = f"{100 * progress['bytes'] / total:3.0f} % of {gigabytes(progress['total'])}"
    seconds = progress["at"] - before["at"] if before else progress["seconds"]
    rate = (progress["bytes"] - (before["bytes"] if before else 0)) / seconds if seconds > 0 else 0
    if rate > 0:
        left = int((progress["total"] - progress["bytes"]) / rate)
        text += f", {rate / 1e6:.1f} MB/s, {left // 3600}:{left // 60 % 60:02}:{left % 60:02} left"
    return text + (f", from {progress['source']}" if progress["source"] else "")


def gigabytes(count: int) -> str:
    return f"{count / 1e9:.2f} GB"
