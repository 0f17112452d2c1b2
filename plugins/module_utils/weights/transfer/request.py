# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of a transfer of weights, and the unit of a node's part. Pure; private to this collection."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.systemd import hardening, transient
from ansible_collections.fullrank.serving.plugins.module_utils.weights.worker_user import Worker

RUN = "/run/fullrank"
MEMORY_BYTES = 8 << 30
"""What a node's part in a transfer may take (docs/decisions/166)."""
PACKAGE = "fullrank_transfer"
PROGRAM = f"{PACKAGE}.weights.transfer.peer"

OPTIONS: dict[str, dict[str, Any]] = {
    "state": {"type": "str", "choices": ["started", "present", "stopped"], "required": True},
    "path": {"type": "path", "required": True},
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
"""The options of a task; the module's documentation describes them."""
PRIVATE_OPTIONS: dict[str, dict[str, Any]] = {"part": {"type": "dict"}, "token": {"type": "str", "no_log": True}}
"""What the action decided, for the module on the node."""


def part_folder(root: str) -> str:
    """Program and configuration of the node's part; gone when it ends."""
    return f"{RUN}/{transfer_id(root)}"


def progress_folder(root: str) -> str:
    """Where the node's part writes its progress; stays until the part is stopped."""
    return f"{part_folder(root)}.progress"


def progress_file(root: str) -> str:
    """The same path on all nodes."""
    return f"{progress_folder(root)}/progress.json"


def transfer_id(root: str) -> str:
    """The name of the transfer into a folder: several models on one node have several, and one folder never two."""
    return f"fullrank-weights-{hashlib.sha256(root.encode()).hexdigest()[:12]}"


def unit(root: str, part: Mapping[str, Any], python: str, worker: Worker) -> transient.Unit:
    """The node's part in the transfer into ``root``, as a unit that ends by itself, whatever becomes of the controller.

    What holds the token goes when the unit ends, however it ends. A node that has everything only reads. part: timeout (s), port,
    rsh, and what ``peer.Config`` adds.
    """
    low = ("CAP_NET_BIND_SERVICE",) if 0 < part["port"] < 1024 else ()
    privileges = worker.privileges
    name, folder = transfer_id(root), part_folder(root)
    return transient.Unit(
        name=f"{name}.service",
        description=f"fullrank: weights between nodes, {root}",
        command=[python, "-m", PROGRAM, f"{folder}/config.json"],
        environment={"PYTHONPATH": folder},
        sandbox=transient.Sandbox(
            writes=[*([root] if part["upstreams"] else []), progress_folder(root)],
            # rsync logs in with the keys of root
            reads=[python, root, *(["/root"] if part["rsh"] else [])],
            families=hardening.NETWORK,
            # ssh, as root, sets its user
            system_calls=hardening.SERVICE if part["rsh"] else hardening.UNPRIVILEGED,
            **{**privileges, "capabilities": [*privileges.get("capabilities", ()), *low]},
        ),
        properties=["LimitNOFILE=65536", "TasksMax=infinity"],
        memory=MEMORY_BYTES,
        seconds=part["timeout"],
        runtime_directory=folder,
    )
