# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Properties of a node: release, kernel, Secure Boot, limits, capabilities. Pure; private to this collection."""

from __future__ import annotations

import re

from ansible_collections.fullrank.serving.plugins.module_utils.node.reader import Host

SECURE_BOOT = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"  # UEFI 2.10, 3.3


CAP_SYS_RESOURCE = 24  # include/uapi/linux/capability.h


def os_release(host: Host) -> dict[str, str]:
    """/etc/os-release (os-release(5))."""
    text = host.read("/etc/os-release") or host.read("/usr/lib/os-release") or ""
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line and not line.startswith("#"))
    return {key.strip(): value.strip().strip("\"'") for key, _unused, value in pairs}


def running_kernel(host: Host) -> str:
    return host.read("/proc/sys/kernel/osrelease") or ""


def secure_boot(host: Host) -> bool:
    """Whether it is on: the variable has four bytes of attributes, then one of value."""
    return (host.read_bytes(SECURE_BOOT) or b"").endswith(b"\x01")


def may_lock_all(host: Host) -> bool:
    """Whether PID 1 can grant unlimited locked memory: it has it, or may raise it. A login whose limits.d wants more than
    can be granted is refused by pam_limits, so nothing is written there without this."""
    granted = parse_memlock(host.read("/proc/1/limits") or "")
    may_raise = bool(parse_capabilities(host.read("/proc/1/status") or "") & 1 << CAP_SYS_RESOURCE)
    return may_raise or (granted is not None and granted[1] < 0)


def parse_memlock(limits: str) -> tuple[int, int] | None:
    """/proc/<pid>/limits → soft and hard limit of locked memory in bytes, -1 for unlimited.

    >>> parse_memlock("Max locked memory         8388608              unlimited            bytes")
    (8388608, -1)
    """
    match = re.search(r"^Max locked memory\s+(\d+|unlimited)\s+(\d+|unlimited)", limits, re.MULTILINE)
    if match is None:
        return None
    soft, hard = (-1 if value == "unlimited" else int(value) for value in match.groups())
    return soft, hard


def hard_limit(limits: str, name: str) -> int:
    """The hard limit of a row of /proc/<pid>/limits, -1 for unlimited or unknown.

    >>> hard_limit("Max open files            1024                 524288               files", "Max open files")
    524288
    """
    match = re.search(rf"^{name}\s+\S+\s+(\d+)", limits, re.MULTILINE)
    return int(match[1]) if match else -1


def parse_capabilities(status: str) -> int:
    """The effective capabilities in /proc/<pid>/status, as a mask."""
    match = re.search(r"^CapEff:\s*([0-9a-fA-F]+)$", status, re.MULTILINE)
    return int(match.group(1), 16) if match else 0
