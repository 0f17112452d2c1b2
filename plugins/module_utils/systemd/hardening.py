# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a unit of this collection may not do unless it needs it, as lines of its ``[Service]``. Pure; private to this collection.

Sources: systemd.exec(5), systemd.resource-control(5). All options exist since systemd 248. ``systemd-analyze security`` rates
what is left; a test holds each unit at 5.0 or below, or names the reason.
"""

from __future__ import annotations

from collections.abc import Sequence

NETWORK = ("AF_INET", "AF_INET6", "AF_NETLINK")
"""Address families of who resolves names and connects; netlink lists the addresses of this machine."""
UNPRIVILEGED = ("@system-service", "~@privileged")
"""System calls of a program that never changes its user and owns what it works on."""
SERVICE = ("@system-service",)
CLIENT_OF_DAEMON = ("ProtectSystem=full", "ProtectHome=read-only")
"""For the client of docker's daemon, beside `lines`: it needs the daemon's socket, and its configuration in root's home. podman
and nerdctl make containers themselves, for which they need the whole machine.
"""
_ALWAYS = (
    "NoNewPrivileges=yes",
    "ProtectControlGroups=yes",
    "ProtectHostname=yes",
    "ProtectKernelLogs=yes",
    "ProtectKernelModules=yes",
    "ProtectKernelTunables=yes",
    "PrivateTmp=yes",
    "LockPersonality=yes",
    "RestrictNamespaces=yes",
    "RestrictRealtime=yes",
    "RestrictSUIDSGID=yes",
    "SystemCallArchitectures=native",
    "SystemCallErrorNumber=EPERM",
)


def lines(
    *,
    capabilities: Sequence[str] = (),
    families: Sequence[str] = NETWORK,
    system_calls: Sequence[str] = UNPRIVILEGED,
    devices: bool = False,
    generates_code: bool = False,
    sees_processes: bool = False,
) -> list[str]:
    """``Name=value`` for everything that a unit does not need.

    capabilities: that it can have at all. families: of addresses, beside AF_UNIX; none: it has no network. system_calls: one
    filter for each word, which add up. devices: it sees those of the machine, such as GPUs; without, ``ProtectClock=`` is there
    too, which shuts them out. generates_code: it makes written memory executable, as PyTorch's and CUDA's compilers do.
    sees_processes: those of other users too.
    """
    return [
        *_ALWAYS,
        f"CapabilityBoundingSet={' '.join(capabilities)}",
        f"RestrictAddressFamilies={' '.join(('AF_UNIX', *families))}",
        *(f"SystemCallFilter={one}" for one in system_calls),
        *([] if families else ["PrivateNetwork=yes"]),
        *([] if devices else ["PrivateDevices=yes", "ProtectClock=yes"]),
        *([] if generates_code else ["MemoryDenyWriteExecute=yes"]),
        *([] if sees_processes else ["ProtectProc=invisible"]),
    ]
