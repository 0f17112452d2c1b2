# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of ports in docs/security.md, and what listens on a node and is not in it. Scenarios use it on their nodes."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs/security.md"
BY_THE_KERNEL = range(32768, 61000)
"""ip(7), ip_local_port_range."""
LISTEN = "ss -Hltunp"
"""The command that lists the sockets of a node, with who has them."""


@dataclass(frozen=True)
class Row:
    """units: patterns of names. ports, protocols (tcp, udp): of its sockets. where: the cell that tells on which addresses."""

    units: tuple[str, ...]
    ports: tuple[range, ...]
    protocols: tuple[str, ...]
    where: str

    def covers(self, unit: str, protocol: str, address: str, port: int) -> bool:
        """Whether a socket is one of this row."""
        if protocol not in self.protocols or not any(port in one for one in self.ports):
            return False
        return any(fnmatchcase(unit, pattern) for pattern in self.units) and self._address(address)

    def _address(self, address: str) -> bool:
        if "all addresses" in self.where:
            return True
        if address in ("*", "0.0.0.0", "::"):
            return False
        return not self.where.startswith("the loopback") or ipaddress.ip_address(address).is_loopback


def rows(page: str) -> list[Row]:
    """The rows of the table below the heading Ports."""
    table = page.partition("\n## Ports\n")[2].partition("\n## ")[0]
    lines = [line for line in table.splitlines() if line.startswith("| ") and not line.startswith("| unit")]
    return [_row([cell.strip() for cell in line.strip("|").split("|")]) for line in lines]


def _row(cells: list[str]) -> Row:
    units, port, where = cells[:3]
    names = tuple(re.sub(r"[A-Z]+", "*", name) + ".service" for name in re.findall(r"`([^`]+)`", units))
    protocols = tuple(word.lower() for word in ("TCP", "UDP") if word in port)
    assert names and protocols, cells
    ports = [BY_THE_KERNEL] if "by the kernel" in port else []
    # (8000), or 10001 to 19999
    for first, last in re.findall(r"\b(\d{2,5})\b(?: to (\d+))?", port):
        ports.append(range(int(first), int(last or first) + 1))
    assert ports, cells
    return Row(names, tuple(ports), protocols, where)


def sockets(shown: str) -> list[tuple[str, str, int, list[int]]]:
    """(protocol, address, port, pids) of each line of ``ss -Hltunp``."""
    found = []
    for line in shown.splitlines():
        protocol, _state, _receive, _send, local, *_rest = line.split()
        address, _unused, port = local.rpartition(":")
        pids = sorted({int(pid) for pid in re.findall(r"pid=(\d+)", line)})
        found.append((protocol, address.partition("%")[0].strip("[]"), int(port), pids))
    return found


def undocumented(found: Iterable[tuple[str, str, str, int]], page: str = "") -> list[str]:
    """Those of the sockets that belong to this collection and are in no row. found: (unit, protocol, address, port)."""
    table = rows(page or PAGE.read_text(encoding="utf-8"))
    known = {pattern for row in table for pattern in row.units}
    return [
        f"{unit}: {protocol} {address}:{port}"
        for unit, protocol, address, port in found
        if unit.startswith("fullrank") or any(fnmatchcase(unit, pattern) for pattern in known)
        if not any(row.covers(unit, protocol, address, port) for row in table)
    ]
