# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Transient units: work on a node that outlives the connection, in a sandbox, and leaves nothing behind.

Pure but for the functions that take ``run``; private to this collection. Sources: systemd-run(1), systemd.exec(5),
systemd.resource-control(5). All options exist since systemd 248.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from ansible_collections.fullrank.serving.plugins.module_utils.systemd import hardening
from ansible_collections.fullrank.serving.plugins.module_utils.systemd import state as systemd_state

FILES_OF_OTHERS = ("CAP_DAC_OVERRIDE", "CAP_FOWNER")
"""Capabilities to write into folders that belong to other users, and to set the mode of files there."""
_HOMES = ("/home", "/root", "/run/user")
_SECRETS = ("/etc/fullrank", "/etc/shadow", "/etc/shadow-", "/etc/gshadow", "/etc/gshadow-")
"""What no work reads, as whoever it runs: the keys of endpoints, and the passwords of accounts."""
_FILES = (
    "ProtectSystem=strict",
    "ReadOnlyPaths=/run",
    f"InaccessiblePaths={' '.join(f'-{path}' for path in _SECRETS)}",
)
# ReadOnlyPaths=: systemd 257 leaves /run writable under ProtectSystem=strict as soon as ProtectControlGroups= is there (seen on
# Debian 13).


@dataclass(frozen=True)
class Sandbox:
    """What the work may do beyond reading files and writing to its private /tmp."""

    writes: Sequence[str] = ()
    """Folders that exist, with everything below."""
    user: tuple[int, int] | None = None
    """Numbers of its user and group, which need no account; None for root, or for what `Unit.properties` say."""
    reads: Sequence[str] = ()
    """Further paths that it needs. They and ``writes`` decide whether home directories are hidden or read-only."""
    capabilities: Sequence[str] = ()
    families: Sequence[str] = ()
    """Address families beside AF_UNIX; none: the unit has no network."""
    devices: bool = False
    """Whether it sees the devices of the machine, such as GPUs."""
    generates_code: bool = False
    """Whether it may make written memory executable, as PyTorch's and CUDA's compilers do."""
    system_calls: Sequence[str] = hardening.UNPRIVILEGED

    def properties(self) -> list[str]:
        at_home = any(PurePosixPath(home) in (path, *path.parents) for path in self._paths() for home in _HOMES)
        found = [
            *_FILES,
            f"ProtectHome={'read-only' if at_home else 'yes'}",
            *hardening.lines(
                capabilities=self.capabilities,
                families=self.families,
                system_calls=self.system_calls,
                devices=self.devices,
                generates_code=self.generates_code,
            ),
        ]
        if self.user:
            found += [f"User={self.user[0]}", f"Group={self.user[1]}", "RemoveIPC=yes"]
            found += [f"AmbientCapabilities={' '.join(self.capabilities)}"] if self.capabilities else []
        return found + [f"ReadWritePaths={_word(path)}" for path in self.writes]

    def _paths(self) -> list[PurePosixPath]:
        return [PurePosixPath(path) for path in (*self.writes, *self.reads)]


@dataclass(frozen=True)
class Unit:
    """A transient unit: started by `start_command`, gone when its work has ended."""

    name: str
    """With ``.service``."""
    description: str
    command: Sequence[str]
    """Everybody on the machine can read it, and the environment: no secrets."""
    sandbox: Sandbox | None
    """None for the client of a container runtime only: the container is the sandbox, and the client makes it."""
    environment: Mapping[str, str] = field(default_factory=dict)
    properties: Sequence[str] = ()
    """Limits and the like, ``Name=value``."""
    memory: int = 0
    """Bytes beyond which it is ended (``MemoryMax=``); pages of files count and can be given back. 0 for no limit."""
    seconds: int = 0
    """After which systemd ends it; 0 for never."""
    stop_seconds: int = 5
    """Between SIGTERM and SIGKILL."""
    runtime_directory: str = ""
    """A folder below /run, of mode 0700, that systemd removes when the unit ends, however it ends."""
    attached: bool = False
    """Whether the command waits for the end and passes on output and exit status."""


def start_command(unit: Unit) -> list[str]:
    """The words of ``systemd-run`` that start ``unit``."""
    properties = [f"TimeoutStopSec={unit.stop_seconds}", "KillMode=control-group", "UMask=0022", *unit.properties]
    if unit.memory:
        properties.append(f"MemoryMax={unit.memory}")
    if unit.seconds:
        properties.append(f"RuntimeMaxSec={unit.seconds}")
    if unit.runtime_directory:
        properties += [f"RuntimeDirectory={unit.runtime_directory.removeprefix('/run/')}", "RuntimeDirectoryMode=0700"]
    if unit.sandbox:
        properties += unit.sandbox.properties()
    return [
        "systemd-run",
        f"--unit={unit.name}",
        f"--description={unit.description}",
        "--collect",
        "--quiet",
        *(("--wait", "--pipe") if unit.attached else ()),
        "--service-type=exec",
        *(f"--property={one}" for one in properties),
        *(f"--setenv={name}={value}" for name, value in sorted(unit.environment.items())),
        "--",
        *unit.command,
    ]


def runs(run: systemd_state.Run, name: str) -> bool:
    """Whether a transient unit has not ended. Afterwards systemd knows nothing of it (``--collect``)."""
    return systemd_state.state(run, name)["active"] in ("active", "activating", "deactivating")


def last_lines(run: systemd_state.Run, name: str, count: int = 5) -> str:
    """What the unit wrote to the journal last: why it ended, when it left no other word."""
    command = ["journalctl", f"--unit={name}", f"--lines={count}", "--output=cat", "--no-pager", "--quiet"]
    return run(command)[1].strip()


def stop(run: systemd_state.Run, name: str) -> None:
    """End the unit; one that does not run is no error."""
    run(["systemctl", "stop", name])


def _word(path: str) -> str:
    """A path in a property that takes several: quoted where systemd.syntax(7) would cut it."""
    if not any(char in path for char in " \t'\"\\"):
        return path
    escaped = path.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
