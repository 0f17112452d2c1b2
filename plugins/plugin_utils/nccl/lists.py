# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""NCCL's list grammar for HCAs and interfaces: ``[^][=]name[:port[:rail[:plane]]],…``.

Source: NVIDIA/nccl src/misc/utils.cc, parseStringList and matchIfList; one leading ``^`` excludes, one ``=`` after it
makes all names exact, and without it every name is a prefix. Spaces are not trimmed.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True)
class NameList:
    """A parsed value. ``entries``: name and port (None: every port), in the order written."""

    excludes: bool
    exact: bool
    entries: tuple[tuple[str, int | None], ...]

    @property
    def words(self) -> tuple[str, ...]:
        """The entries as they are written, without rail and plane."""
        return tuple(name if port is None else f"{name}:{port}" for name, port in self.entries)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name, _unused in self.entries)

    def _hit(self, entry: str, name: str) -> bool:
        return name == entry if self.exact else name.startswith(entry)

    def matches(self, name: str) -> bool:
        """Whether NCCL would use the device ``name``. An empty list excludes nothing and includes everything."""
        return not self.entries or any(self._hit(e, name) for e in self.names) != self.excludes

    def takes(self, name: str, port: int) -> bool:
        """Whether NCCL would use port ``port`` of the HCA ``name``: an entry without a port means all of them."""
        hit = any(self._hit(e, name) and number in (None, port) for e, number in self.entries)
        return not self.entries or hit != self.excludes

    def caught_by_prefix(self, existing: Collection[str]) -> dict[str, list[str]]:
        """Entry → other existing names it also matches because it is a prefix and the exact name exists beside them.

        ``mlx5`` alone, with no device of that very name, is a prefix on purpose and not reported.
        """
        if self.exact:
            return {}
        caught = {
            entry: [n for n in existing if n != entry and n.startswith(entry) and n not in self.names]
            for entry in self.names
            if entry in existing
        }
        return {entry: names for entry, names in caught.items() if names}


def parse_names(value: str) -> NameList:
    """The value as NCCL reads it."""
    excludes = value.startswith("^")
    rest = value.removeprefix("^")
    exact = rest.startswith("=")
    entries = []
    for token in rest.removeprefix("=").split(","):
        name, _unused, after = token.partition(":")
        port = after.partition(":")[0]
        if name:
            entries.append((name, int(port) if port.isascii() and port.isdigit() else None))
    return NameList(excludes, exact, tuple(entries))


AUTO_ORDER = ("ib", "", "docker", "lo", "virbr")
"""What NCCL tries without NCCL_SOCKET_IFNAME: ib*, (with NCCL_COMM_ID: its subnet,) anything else, then these.

Source: NVIDIA/nccl src/misc/socket.cc, ncclFindInterfaces.
"""
LAST_RESORTS = ("docker", "lo", "virbr")


def nccl_would_take(interfaces: Collection[str]) -> list[str]:
    """The interfaces NCCL would use by itself, out of those that are up with an address."""
    for prefix in AUTO_ORDER:
        found = [i for i in interfaces if i.startswith(prefix) and (prefix or not i.startswith(LAST_RESORTS))]
        if found:
            return found
    return []
