# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PCI devices as sysfs shows them: addresses, the chain of bridges above a device, its NUMA node.

PRIVATE to this collection.
"""

from __future__ import annotations

import re

from ansible_collections.fullrank.serving.plugins.module_utils.node.reader import Host

_ADDRESS = re.compile(r"^([0-9a-fA-F]{4,8}):([0-9a-fA-F]{2}):([0-9a-fA-F]{2})\.([0-7])$")
_CHAIN_PART = re.compile(r"^(pci[0-9a-f]{4,}:[0-9a-f]{2}|[0-9a-f]{4,}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7])$")
DEVICES = "/sys/bus/pci/devices"


def normalize_address(address: str) -> str | None:
    """The kernel's spelling of a PCI address; nvidia-smi writes the domain with eight digits and in capitals.

    >>> normalize_address("00000001:0F:00.0")
    '0001:0f:00.0'
    """
    match = _ADDRESS.match(address.strip())
    if match is None:
        return None
    domain, bus, device, function = match.groups()
    return f"{int(domain, 16):04x}:{bus.lower()}:{device.lower()}.{function}"


def chain(real_path: str | None) -> list[str]:
    """The host bridge and every PCI function down to the device, from a path below /sys/devices.

    Parts that are no PCI function (ACPI and VMBus nodes above a virtual machine's bridge, what hangs below the
    device) are left out, so two devices' chains can be compared part by part.

    >>> chain("/sys/devices/pci0000:16/0000:16:02.0/0000:1a:00.0/infiniband/mlx5_0")
    ['pci0000:16', '0000:16:02.0', '0000:1a:00.0']
    """
    return [part for part in (real_path or "").split("/") if _CHAIN_PART.match(part)]


def numa_node(host: Host, device: str) -> int | None:
    """The NUMA node of the device folder; None where the firmware names none (the kernel then shows -1)."""
    node = host.read_int(device + "/numa_node")
    return node if node is not None and node >= 0 else None


def find(host: Host, vendor: str, class_prefixes: tuple[str, ...]) -> list[str]:
    """Addresses of the vendor's devices whose class begins with one of the prefixes (``0x03``: display controller)."""
    found = []
    for address in host.entries(DEVICES):
        if host.read(f"{DEVICES}/{address}/vendor") == vendor:
            device_class = host.read(f"{DEVICES}/{address}/class") or ""
            if device_class.startswith(class_prefixes):
                found.append(address)
    return found
