# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The GPUs of a node: nvidia-smi's outputs joined with what sysfs and /proc hold about the same devices.

PRIVATE to this collection.
"""

from __future__ import annotations

import re
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.node import pci
from ansible_collections.fullrank.serving.plugins.module_utils.node.reader import CommandResult, Host
from ansible_collections.fullrank.serving.plugins.module_utils.nvidia import smi

VENDOR_NVIDIA = "0x10de"
CLASS_DISPLAY = ("0x0300", "0x0302")  # VGA and 3D controller: data centre cards are the second
CLASS_BRIDGE = ("0x0680",)  # NVSwitch on boards up to Hopper
# Product names that a hypervisor gives its guests, for machines whose /proc/cpuinfo has no flag for it (ARM)
_VIRTUAL_PRODUCTS = ("kvm", "qemu", "virtual machine", "vmware", "virtualbox", "google compute engine", "openstack")


def collect(host: Host) -> dict[str, Any]:
    """Everything ``fullrank.serving.gpu_info`` returns; see its documentation for the keys. Decides nothing."""
    query, topology, capabilities = host.run_all(
        [
            ("nvidia-smi", "-q", "-x"),
            ("nvidia-smi", "topo", "-m"),
            ("nvidia-smi", "--query-gpu=uuid,compute_cap", "--format=csv,noheader"),
        ]
    )
    facts: dict[str, Any] = {"gpus": [], "driver_version": None, "cuda_version": None}
    status = _status(query)
    if query is not None and query.rc == 0:
        try:
            facts = smi.parse_query_xml(query.stdout)
        except ValueError as error:
            status["message"] = str(error)
    by_uuid = smi.parse_compute_capabilities(capabilities.stdout) if capabilities else {}
    for gpu in facts["gpus"]:
        device = f"{pci.DEVICES}/{gpu['pci_address']}"
        gpu["compute_capability"] = by_uuid.get(gpu["uuid"]) or smi.compute_capability_by_name(gpu["name"])
        gpu["pci_path"] = pci.chain(host.resolve(device))
        gpu["numa_node"] = pci.numa_node(host, device)
    return {
        **facts,
        "topology": smi.parse_topology(topology.stdout if topology else ""),
        "nvidia_smi": status,
        "kernel_module": smi.parse_kernel_module(host.read("/proc/driver/nvidia/version") or ""),
        "pci_gpus": pci.find(host, VENDOR_NVIDIA, CLASS_DISPLAY),
        "pci_nvswitches": pci.find(host, VENDOR_NVIDIA, CLASS_BRIDGE),
        "virtual_machine": is_virtual_machine(host),
        "imex_channels": host.entries("/dev/nvidia-caps-imex-channels"),
        "ibgda": ibgda(host),
    }


def ibgda(host: Host) -> dict[str, bool]:
    """What lets a GPU ring the doorbell of a NIC (NVSHMEM's IBGDA): GDRCopy's device, or both options of the driver.

    ``/proc/driver/nvidia/params`` has a line ``EnableStreamMemOPs: 1`` and ``RegistryDwords: "PeerMappingOverride=1;"``.
    """
    params = host.read("/proc/driver/nvidia/params") or ""
    streams = re.search(r"^EnableStreamMemOPs:\s*1\s*$", params, re.MULTILINE)
    peers = re.search(r"^RegistryDwords:.*\bPeerMappingOverride=(?:1|0x1)\b", params, re.MULTILINE)
    return {"gdrdrv": host.exists("/dev/gdrdrv"), "driver_options": bool(streams and peers)}


def _status(query: CommandResult | None) -> dict[str, Any]:
    if query is None:
        return {"found": False, "rc": None, "message": "nvidia-smi is not installed"}
    return {"found": True, "rc": query.rc, "message": "" if query.rc == 0 else query.message}


def is_virtual_machine(host: Host) -> bool:
    """Whether the node is a guest: there the PCI tree does not show real distances.

    The processor's ``hypervisor`` flag on x86; on ARM, where there is none, the product name that the firmware shows.
    """
    for line in (host.read("/proc/cpuinfo") or "").splitlines():
        if line.startswith("flags"):
            return "hypervisor" in line.split()
    product = (host.read("/sys/class/dmi/id/product_name") or "").lower()
    return any(name in product for name in _VIRTUAL_PRODUCTS)
