# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How fast the links of this node are by their own account, read from sysfs. Private to this collection."""

from __future__ import annotations

from pathlib import Path

SYS = Path("/sys")


def selects(hca_list: str, device: str, port: int) -> bool:
    """Whether ``NCCL_IB_HCA=hca_list`` lets NCCL use this port.

    Source: NCCL user guide, NCCL_IB_HCA: names or prefixes with commas between them, ``name:port`` for one port, ``^`` first to
    exclude, ``=`` for whole names.
    """
    exclude = hca_list.startswith("^")
    rest = hca_list[1:] if exclude else hca_list
    exact = rest.startswith("=")
    names = [one for one in rest.lstrip("=").split(",") if one]
    if not names:
        return True
    hit = False
    for one in names:
        name, _unused, wanted = one.partition(":")
        named = device == name if exact else device.startswith(name)
        hit = hit or (named and wanted in ("", str(port)))
    return hit != exclude


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:  # a link that is down has no speed to read
        return ""


def interface_gbps(interface: str, root: Path = SYS) -> float:
    """Gbit/s of a network interface; 0 when the kernel does not know (Documentation/ABI/testing/sysfs-class-net, speed)."""
    text = _read(root / "class/net" / interface / "speed") if interface else ""
    return max(0, int(text)) / 1000 if text.lstrip("-").isdigit() else 0.0


def rdma_gbps(hca_list: str, root: Path = SYS) -> float:
    """Gbit/s of all active ports that NCCL may use together (Documentation/ABI/stable/sysfs-class-infiniband, rate)."""
    total = 0.0
    for port in (root / "class/infiniband").glob("*/ports/*"):
        active = _read(port / "state").endswith("ACTIVE")
        if active and selects(hca_list, port.parent.parent.name, int(port.name)):
            total += float((_read(port / "rate") or "0").split()[0])
    return total
