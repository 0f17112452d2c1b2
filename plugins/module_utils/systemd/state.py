# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""State and journal of a unit, by systemctl and journalctl. Private to this collection."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.systemd import names
from ansible_collections.fullrank.serving.plugins.module_utils.systemd.unit_text import SPEC_HASH_VARIABLE, parse_show

# runs a command and gives (code, stdout, stderr): AnsibleModule.run_command
Run = Callable[..., "tuple[int, str, str]"]

_PROPERTIES = (
    "LoadState,ActiveState,SubState,UnitFileState,MainPID,ExecMainPID,ExecMainStatus,ExecMainStartTimestamp,"
    "InvocationID,Result,Description"
)


def running_spec_hash(pid: int, proc: Path = Path("/proc")) -> str:
    """The hash of the launch that process ``pid`` was started with; empty when it is gone or was not started by us."""
    try:
        environment = (proc / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return ""
    prefix = f"{SPEC_HASH_VARIABLE}=".encode()
    return next((word[len(prefix) :].decode() for word in environment if word.startswith(prefix)), "")


def seconds_since_epoch(timestamp: str) -> int:
    """``@1795377378`` as ``systemctl --timestamp=unix`` prints it; 0 for never."""
    return int(timestamp.lstrip("@") or 0)


def state(run: Run, unit: str) -> dict[str, Any]:
    """What systemd knows of ``unit``, in our own words; a unit that does not exist is ``inactive``."""
    _code, output, _error = run(
        ["systemctl", "show", "--timestamp=unix", f"--property={_PROPERTIES}", unit], check_rc=True
    )
    shown = parse_show(output)
    pid = int(shown.get("MainPID", "0"))
    return {
        "unit": unit,
        "description": shown.get("Description", ""),
        "exists": shown.get("LoadState") == "loaded",
        "enabled": shown.get("UnitFileState") == "enabled",
        "active": shown.get("ActiveState", "inactive"),
        "sub": shown.get("SubState", "dead"),
        "result": shown.get("Result", "success"),
        "exit_status": int(shown.get("ExecMainStatus", "0") or 0),
        "pid": pid,
        "since": seconds_since_epoch(shown.get("ExecMainStartTimestamp", "")),
        "invocation_id": shown.get("InvocationID", ""),
        "spec_hash": running_spec_hash(pid) if pid else "",
    }


def log(run: Run, unit: str, since: int, lines: int) -> list[str]:
    """The last ``lines`` lines that ``unit`` wrote to the journal since its start (``since``, seconds since the epoch)."""
    if not lines or not since:
        return []
    command = [
        "journalctl",
        f"--unit={unit}",
        f"--since=@{since}",
        f"--lines={lines}",
        "--output=cat",
        "--no-pager",
        "--quiet",
    ]
    _code, output, _error = run(command, check_rc=True)
    return output.splitlines()


def engine_units(root: Path = Path("/")) -> list[str]:
    """What ``systemctl list-units`` takes for all engines of ours, with those that still run by their former name."""
    etc, run = root / names.CONFIG.lstrip("/"), root / names.FORMER_UNITS.lstrip("/")
    former = {names.former_rank_unit(path.name[: -len(".group.json")]) for path in etc.glob("*.group.json")}
    former |= {path.name for path in run.glob("fullrank-*.service")}
    return [names.ENGINE_UNITS, *sorted(former)]


def routers() -> list[str]:
    """The deployments whose router has a unit on this node, in alphabetical order."""
    beginning, end = names.router_unit("*").split("*")
    return sorted(
        path.name[len(beginning) : -len(end)]
        for path in Path(names.UNITS).glob(names.router_unit("*"))
        if path.is_file()
    )


def deployments(root: Path = Path("/")) -> list[str]:
    """The deployments that have a rank, a supervisor or a supervisor's configuration on this node, in alphabetical order.

    By the names that are ours alone; a configuration counts by what is in it, since a folder of others may hold a like name.
    """
    found = set()
    for pattern in (names.rank_unit("*"), names.supervisor_unit("*")):
        beginning, end = pattern.split("*")
        found |= {
            path.name[len(beginning) : -len(end)]
            for path in (root / names.UNITS.lstrip("/")).glob(pattern)
            if path.is_file()
        }
    end = names.supervisor_config("")[len(names.CONFIG) + 1 :]
    for path in (root / names.CONFIG.lstrip("/")).glob(f"*{end}"):
        try:
            name = json.loads(path.read_text()).get("deployment")
        except (OSError, ValueError, AttributeError):
            continue
        if name == path.name[: -len(end)]:
            found.add(name)
    return sorted(name for name in found if name)


def rank_unit(deployment: str) -> str:
    """The unit of this node's engine: by its former name as long as it runs by that."""
    former = names.former_rank_unit(deployment)
    taken_over = not Path(names.former_config(deployment)).exists()
    return names.rank_unit(deployment) if taken_over and not Path(names.FORMER_UNITS, former).exists() else former
