# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who listens on which TCP port, read from procfs (proc(5)): no tool has to be installed. Private to this collection."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

_LISTEN = "0A"  # TCP_LISTEN in include/net/tcp_states.h


@dataclass(frozen=True)
class Listener:
    """A listening TCP socket and its owner; ``pid`` 0 when the owner could not be seen (another user's, not root)."""

    port: int
    pid: int
    command: str
    unit: str


def listening_inodes(table: str) -> dict[int, set[str]]:
    """Port → socket inodes of the listening rows of one ``/proc/net/tcp`` or ``tcp6``."""
    found: dict[int, set[str]] = {}
    for line in table.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 9 and fields[3] == _LISTEN:
            found.setdefault(int(fields[1].rsplit(":", 1)[1], 16), set()).add(fields[9])
    return found


def unit_of_cgroup(text: str) -> str:
    """The innermost systemd service or scope in the content of ``/proc/PID/cgroup``; empty when there is none."""
    units = re.findall(r"/([^/\n]+\.(?:service|scope))", text)
    return units[-1].replace("\\x2d", "-") if units else ""


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _owners(inodes: set[str], proc: Path) -> dict[str, int]:
    """Inode → pid, by the links in ``/proc/PID/fd``; stops as soon as every inode is found."""
    wanted = {f"socket:[{inode}]": inode for inode in inodes}
    owners: dict[str, int] = {}
    for process in proc.iterdir():
        if not process.name.isdigit():
            continue
        try:
            links = [str(descriptor.readlink()) for descriptor in (process / "fd").iterdir()]
        except OSError:  # the process ended, or is not ours to look into
            continue
        owners.update((wanted[link], int(process.name)) for link in links if link in wanted)
        if len(owners) == len(wanted):
            break
    return owners


def listeners(ports: Iterable[int], proc: Path = Path("/proc")) -> list[Listener]:
    """Those of ``ports`` (TCP, IPv4 and IPv6) that are listened on, with the owner of each."""
    tables = [listening_inodes(_read(proc / "net" / name)) for name in ("tcp", "tcp6")]
    taken = {port: inodes for port in ports if (inodes := set().union(*(t.get(port, set()) for t in tables)))}
    owners = _owners(set().union(*taken.values()), proc) if taken else {}
    found = []
    for port, inodes in sorted(taken.items()):
        pid = next((owners[inode] for inode in sorted(inodes) if inode in owners), 0)
        command = _read(proc / str(pid) / "cmdline").replace("\0", " ").strip() if pid else ""
        unit = unit_of_cgroup(_read(proc / str(pid) / "cgroup")) if pid else ""
        found.append(Listener(port, pid, command[:120], unit))
    return found


def as_dicts(found: Iterable[Listener]) -> list[dict[str, object]]:
    """For a module's result."""
    return [asdict(listener) for listener in found]
