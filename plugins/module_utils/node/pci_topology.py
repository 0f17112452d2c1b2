# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PCI settings between GPUs and NICs: ACS and the IOMMU. Pure; private to this collection."""

from __future__ import annotations

from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import Finding, passed, skipped, warned
from ansible_collections.fullrank.serving.plugins.module_utils.node import pci
from ansible_collections.fullrank.serving.plugins.module_utils.node.reader import Host

_ACS_CAPABILITY = 0x000D  # PCI Express Base Specification, 7.7.11


# Source Validation, P2P Request Redirect, P2P Completion Redirect: what sends peer-to-peer traffic up to the root
_ACS_REDIRECT = 0x0001 | 0x0004 | 0x0008


def check_pci(host: Host, facts: dict[str, Any], wanted: dict[str, Any]) -> list[Finding]:
    """ACS and the IOMMU send traffic between a GPU and its NIC up to the processor, where it is slow or hangs.

    Source: NCCL User Guide, Troubleshooting, "PCI Access Control Services (ACS)".
    """
    if facts["virtual_machine"] or not wanted["rdma"] or not facts["pci_gpus"]:
        why = "a guest does not see the bridges" if facts["virtual_machine"] else "no RDMA between GPUs is asked for"
        return [skipped("pci-acs", "bridges", why), skipped("iommu", "iommu_group", why)]
    above = {part for gpu in facts["gpus"] for part in gpu["pci_path"][1:-1]}
    on = [bridge for bridge in sorted(above) if acs_redirects(host.read_bytes(f"{pci.DEVICES}/{bridge}/config") or b"")]
    unread = [bridge for bridge in sorted(above) if len(host.read_bytes(f"{pci.DEVICES}/{bridge}/config") or b"") < 256]
    if on:
        remedy = (
            "turn it off per bridge at boot (setpci -s <bridge> ECAP_ACS+0x6.w=0000), not on ConnectX-8 Data Direct"
        )
        message = f"ACS redirects peer-to-peer traffic on {len(on)} bridges above the GPUs"
        acs = warned("pci-acs", ", ".join(on[:4]), message, remedy, bridges=on)
    elif unread:
        acs = skipped("pci-acs", "bridges", f"the settings of {len(unread)} bridges could not be read (not root?)")
    else:
        acs = passed("pci-acs", "bridges", "off on all bridges above the GPUs")
    translated = sorted(
        address
        for address in facts["pci_gpus"]
        if (host.read(f"{pci.DEVICES}/{address}/iommu_group/type") or "identity") != "identity"
    )
    if translated:
        message = f"the IOMMU translates the addresses of {len(translated)} GPUs"
        remedy = "put iommu=pt on the kernel command line, or turn the IOMMU off in the firmware"
        return [acs, warned("iommu", "iommu_group", message, remedy, gpus=translated)]
    return [acs, passed("iommu", "iommu_group", "off or in pass-through")]


def acs_redirects(config: bytes) -> bool:
    """Whether a bridge's configuration space has ACS on in a way that redirects peer-to-peer traffic.

    Walks the extended capabilities (from 0x100; 16 bit id, 4 bit version, 12 bit next); the control register is at +6.
    """
    offset, seen = 0x100, set()
    while 0x100 <= offset <= len(config) - 8 and offset not in seen:
        seen.add(offset)
        header = int.from_bytes(config[offset : offset + 4], "little")
        if header & 0xFFFF == _ACS_CAPABILITY:
            return bool(int.from_bytes(config[offset + 6 : offset + 8], "little") & _ACS_REDIRECT)
        offset = header >> 20
    return False
