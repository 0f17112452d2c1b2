# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node's RDMA hardware and software, for the role rdma. Reads only; decides nothing.

The hardware (sysfs, the kernel, its modules) can be a recorded one; software is always that of the node.

PRIVATE to this collection.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.node import pci
from ansible_collections.fullrank.serving.plugins.module_utils.node import system as node_system
from ansible_collections.fullrank.serving.plugins.module_utils.node.reader import Host
from ansible_collections.fullrank.serving.plugins.module_utils.nvidia import smi
from ansible_collections.fullrank.serving.plugins.module_utils.nvidia.gpu import CLASS_DISPLAY, VENDOR_NVIDIA
from ansible_collections.fullrank.serving.plugins.module_utils.packages import manager as packages_manager
from ansible_collections.fullrank.serving.plugins.module_utils.rdma import facts
from ansible_collections.fullrank.serving.plugins.module_utils.rdma import stack as rdma_stack
from ansible_collections.fullrank.serving.plugins.module_utils.systemd.state import engine_units

VENDOR_MELLANOX = "0x15b3"
CLASS_NETWORK = ("0x0200", "0x0207")  # Ethernet, InfiniBand (PCI Code and ID Assignment Specification)
_UNINSTALLERS = ("/usr/sbin/ofed_uninstall.sh",)
# names that identify the stack, or that are known to stand in the way of one (nodes.md of the vendor guides: see
# rdma.plan.CONFLICTS)
_LOOKED_FOR = (
    "rdma-core", "libibverbs1", "dkms", "mft", "openmpi-bin", "openmpi", "pmix", "libpmix2", "doca-ofed", "doca-ofed-generic",
    "doca-ofed-generic-hwe", "mlnx-ofed-all", "mlnx-ofed-all-user-only", "mlnx-ofed-kernel-dkms", "perftest",
)  # fmt: skip


@dataclass(frozen=True)
class Node:
    """The facts. ``hcas``: as the module rdma_info returns them."""

    release: dict[str, str]
    machine: str
    kernel: str
    kernels: list[str]
    headers: bool
    pci_functions: list[str]
    hcas: list[dict[str, Any]]
    netdevs: list[dict[str, Any]]
    loaded: set[str]
    secure_boot: bool
    gpus: list[str]
    driver_kind: str
    driver_version: str
    peer_memory: bool
    stack: rdma_stack.Installed
    uninstaller: str
    packages: dict[str, str]
    held: set[str]
    openibd: str
    module_file: str
    srcversions: tuple[str, str]
    initramfs: list[str]
    dkms_nvidia: list[tuple[str, str]]
    memlock_manager: str
    memlock_raisable: bool
    engines: list[str]
    limits: dict[str, str] = field(default_factory=dict)
    system_confs: dict[str, str] = field(default_factory=dict)


def collect(hardware: Host, system: Host) -> Node:
    release = node_system.os_release(system)
    network = facts.collect(hardware)
    kernel = node_system.running_kernel(hardware)
    driver = smi.parse_kernel_module(hardware.read("/proc/driver/nvidia/version") or "")
    file, on_disk = hardware.run_all(
        [
            ("modinfo", "-k", kernel, "-F", "filename", "mlx5_core"),
            ("modinfo", "-k", kernel, "-F", "srcversion", "mlx5_core"),
        ]
    )
    ofed, openibd, manager, machine, engines = system.run_all(
        [
            ("ofed_info", "-s"),
            ("systemctl", "show", "--property=LoadState,ActiveState,UnitFileState", "openibd.service"),
            ("systemctl", "show", "--property=DefaultLimitMEMLOCK"),
            ("uname", "-m"),
            ("systemctl", "list-units", "--state=active", "--plain", "--no-legend", *engine_units()),
        ]
    )
    installed, held = _packages(system, rdma_stack.family(release))
    stack = rdma_stack.parse_ofed_info(ofed.stdout if ofed and ofed.rc == 0 else "")
    if not stack.kind and "rdma-core" in installed:
        stack = rdma_stack.Installed(rdma_stack.INBOX, installed["rdma-core"])
    return Node(
        release=release,
        machine=machine.stdout.strip() if machine else "",
        kernel=kernel,
        kernels=[
            name for name in hardware.entries("/lib/modules") if hardware.exists(f"/lib/modules/{name}/modules.dep")
        ],
        headers=hardware.exists(f"/lib/modules/{kernel}/build/Makefile"),
        pci_functions=_mellanox(hardware, network["hcas"]),
        hcas=[hca for hca in network["hcas"] if not hca["nvswitch_management"]],
        netdevs=network["netdevs"],
        loaded=set(hardware.entries("/sys/module")),
        secure_boot=node_system.secure_boot(hardware),
        gpus=pci.find(hardware, VENDOR_NVIDIA, CLASS_DISPLAY),
        driver_kind=driver["kind"] or "",
        driver_version=driver["version"] or "",
        peer_memory="ib_register_peer_memory_client" in (hardware.read("/proc/kallsyms") or ""),
        stack=stack,
        uninstaller=next((path for path in _UNINSTALLERS if system.exists(path)), ""),
        packages=installed,
        held=held,
        openibd=_unit_state(openibd.stdout if openibd else ""),
        module_file=file.stdout.strip() if file and file.rc == 0 else "",
        srcversions=(
            hardware.read("/sys/module/mlx5_core/srcversion") or "",
            on_disk.stdout.strip() if on_disk and on_disk.rc == 0 else "",
        ),
        initramfs=_initramfs(system, kernel),
        dkms_nvidia=dkms_modules(hardware),
        memlock_manager=(manager.stdout.partition("=")[2].strip() if manager else ""),
        memlock_raisable=node_system.may_lock_all(system),
        engines=[line.split()[0] for line in (engines.stdout if engines else "").splitlines() if line.strip()],
        limits=_drop_ins(system, "/etc/security/limits.d"),
        system_confs=_drop_ins(system, "/etc/systemd/system.conf.d"),
    )


def dkms_modules(hardware: Host) -> list[tuple[str, str]]:
    """NVIDIA's modules that dkms keeps, and their versions: "nvidia" of NVIDIA's packages, "nvidia-current" of Debian's.

    Beside the versions there is a link for each kernel that one was built for.
    """
    folder = "/var/lib/dkms"
    return [
        (name, number)
        for name in hardware.entries(folder)
        if name.startswith("nvidia")
        for number in hardware.entries(f"{folder}/{name}")
        if number[:1].isdigit()
    ]


def _mellanox(hardware: Host, hcas: list[dict[str, Any]]) -> list[str]:
    """PCI functions of the cards: on the bus (also without a driver), and behind the devices that a driver has made."""
    driven = [
        hca["pci_address"]
        for hca in hcas
        if hardware.read(f"{facts.INFINIBAND}/{hca['name']}/device/vendor") == VENDOR_MELLANOX
    ]
    return list(dict.fromkeys([*pci.find(hardware, VENDOR_MELLANOX, CLASS_NETWORK), *filter(None, driven)]))


def _packages(system: Host, distribution: str) -> tuple[dict[str, str], set[str]]:
    """Name → version of those that are installed, and which of them are held."""
    if distribution == "debian":
        form = "-f=${db:Status-Abbrev}|${Package}|${Version}\n"
        result = system.run("dpkg-query", "-W", form, *_LOOKED_FOR)
        rows = [line.split("|") for line in (result.stdout if result else "").splitlines()]
        rows = [row for row in rows if len(row) == 3 and row[0][1:2] == "i"]
        return {row[1]: row[2] for row in rows}, {row[1] for row in rows if row[0].startswith("h")}
    result = system.run("rpm", "-q", "--qf", "%{NAME}|%{VERSION}-%{RELEASE}\n", *_LOOKED_FOR)
    rows = [line.split("|") for line in (result.stdout if result else "").splitlines() if line.count("|") == 1]
    locks = system.read("/etc/dnf/plugins/versionlock.list") or ""
    return {row[0]: row[1] for row in rows}, packages_manager.parse_versionlock(locks) & {*_LOOKED_FOR}


def _unit_state(shown: str) -> str:
    """``absent``, or what systemd calls the active state and whether it is enabled: ``active enabled``."""
    values = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
    if values.get("LoadState") != "loaded":
        return "absent"
    return f"{values.get('ActiveState', '')} {values.get('UnitFileState', '')}"


def _initramfs(system: Host, kernel: str) -> list[str]:
    if system.exists("/usr/sbin/update-initramfs"):
        return ["update-initramfs", "-u", "-k", kernel]
    if system.exists("/usr/bin/dracut") or system.exists("/usr/sbin/dracut"):
        return ["dracut", "--force", "--kver", kernel]
    return []


def _drop_ins(system: Host, folder: str) -> dict[str, str]:
    return {
        f"{folder}/{name}": system.read(f"{folder}/{name}") or ""
        for name in system.entries(folder)
        if name.endswith(".conf")
    }


def overriding(drop_ins: dict[str, str], own: str, pattern: str) -> list[tuple[str, str]]:
    """Files that are read after ours and set the same: (path, the line). Drop-ins are read in the order of their names."""
    found = []
    for path in sorted(drop_ins):
        if path > own:
            found += [(path, line.strip()) for line in drop_ins[path].splitlines() if re.match(pattern, line.strip())]
    return found
