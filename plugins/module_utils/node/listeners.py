# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who holds a port or a GPU: from a socket to its process, from a process to its systemd unit or container.

PRIVATE to this collection.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.node.reader import Host

_LISTEN = "0A"  # include/net/tcp_states.h
_CONTAINER = re.compile(r"(?:^|[/-])([0-9a-f]{64})(?:\.scope)?(?:/|$)")
_UNIT = re.compile(r"([^/]+\.(?:service|scope))(?:/|$)")


@dataclass(frozen=True)
class Listener:
    """A listening TCP socket; ``address`` is ``*`` for one that listens on all."""

    address: str
    port: int
    inode: str


@dataclass(frozen=True)
class Owner:
    """A process, and what started it: the name of a systemd unit (with its suffix) or of a container."""

    pid: int
    command: str
    unit: str | None
    container: str | None

    def is_one_of(self, names: list[str]) -> bool:
        """Whether a unit or container of ours holds it: one of the names, with or without ``.service``."""
        return any(known in names or known.rsplit(".", 1)[0] in names for known in (self.unit, self.container) if known)

    def __str__(self) -> str:
        place = f"container {self.container}" if self.container else self.unit
        return f"{self.command} (pid {self.pid}{', ' + place if place else ''})"


def listeners(host: Host) -> list[Listener]:
    """Listening TCP sockets of both families."""
    found = []
    for file in ("/proc/net/tcp", "/proc/net/tcp6"):
        found += parse_listeners(host.read(file) or "")
    return found


def parse_listeners(text: str) -> list[Listener]:
    """/proc/net/tcp or tcp6 (Documentation/networking/proc_net_tcp.rst of the kernel)."""
    found = []
    for line in text.splitlines():
        fields = line.split()
        if len(fields) > 9 and fields[3] == _LISTEN and re.match(r"^[0-9A-F]+:[0-9A-F]{4}$", fields[1]):
            address, port = fields[1].split(":")
            found.append(Listener(_address(address), int(port, 16), fields[9]))
    return found


def _address(text: str) -> str:
    """Hexadecimal, each group of four bytes in the byte order of the machine (little-endian on all we serve)."""
    if not text.strip("0"):
        return "*"
    octets = b"".join(bytes.fromhex(text[i : i + 8])[::-1] for i in range(0, len(text), 8))
    if len(octets) == 16 and octets[:12] == b"\0" * 10 + b"\xff\xff":
        octets = octets[12:]
        if not any(octets):
            return "*"
    if len(octets) == 4:
        return ".".join(str(octet) for octet in octets)
    return ":".join(f"{octets[i]:02x}{octets[i + 1]:02x}" for i in range(0, len(octets), 2))


def of_socket(host: Host, inode: str) -> Owner | None:
    """The process that has the socket open; None without the right to look (not root) or for one of the kernel."""
    for pid in host.entries("/proc"):
        if pid.isdigit():
            folder = f"/proc/{pid}/fd"
            if any(host.link_name(f"{folder}/{number}") == f"socket:[{inode}]" for number in host.entries(folder)):
                return of_process(host, int(pid))
    return None


def holders(host: Host, ports: list[int]) -> list[dict[str, Any]]:
    """Who listens on which of ``ports``, as a module returns it: port, pid (0: hidden), command and container (or unit)."""
    found = {}
    for listener in listeners(host):
        if listener.port in ports and listener.port not in found:
            owner = of_socket(host, listener.inode) or Owner(0, "", None, None)
            found[listener.port] = {
                "port": listener.port,
                "pid": owner.pid,
                "command": owner.command,
                "unit": owner.container or owner.unit or "",
            }
    return [found[port] for port in sorted(found)]


def of_process(host: Host, pid: int) -> Owner:
    """The process with its unit or container."""
    command = host.read(f"/proc/{pid}/comm") or "unknown"
    unit, container_id = parse_cgroup(host.read(f"/proc/{pid}/cgroup") or "")
    return Owner(pid, command, unit, _container_name(host, container_id) if container_id else None)


def parse_cgroup(text: str) -> tuple[str | None, str | None]:
    """/proc/<pid>/cgroup → (innermost unit, container id), each None where there is none."""
    for line in text.splitlines():
        number, _unused, rest = line.partition(":")
        controllers, _unused, path = rest.partition(":")
        if number == "0" or "name=systemd" in controllers:
            container = _CONTAINER.findall(path)
            units = _UNIT.findall(path)
            # with both versions of cgroups mounted, only one of the two lines leads to the unit
            if units or container:
                return (units[-1] if units else None, container[-1] if container else None)
    return None, None


def _container_name(host: Host, container_id: str) -> str:
    for runtime in ("docker", "podman", "nerdctl"):
        result = host.run(runtime, "ps", "--no-trunc", "--format", "{{.ID}} {{.Names}}")
        for line in result.stdout.splitlines() if result and result.rc == 0 else ():
            found, _unused, name = line.partition(" ")
            if found == container_id:
                return name.strip()
    return container_id[:12]
