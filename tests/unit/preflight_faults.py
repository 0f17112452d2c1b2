# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults to plant in the good node of ``preflight_node``.

One each: (check, its status, a part of its message or remedy, what plants it).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import preflight_node as node
import recorded
from ansible_collections.fullrank.serving.plugins.module_utils.node import system
from preflight_node import GIB, KERNEL, PEER, PING


def write(path: str, content: str) -> node.Plant:
    return lambda root, wanted: recorded.write(root, path, content)


def command(argv: str, output: str, rc: int = 0) -> node.Plant:
    return lambda root, wanted: recorded.command(root, argv, output, rc)


def option(**changes: Any) -> node.Plant:
    return lambda root, wanted: wanted.update(changes)


def without(path: str) -> node.Plant:
    """Take a file away, and the folder that it leaves empty (what is looked at may be the folder)."""

    def plant(root: Path, wanted: dict[str, Any]) -> None:
        (root / path).unlink(missing_ok=True)
        if not list((root / path).parent.iterdir()):
            (root / path).parent.rmdir()

    return plant


def both(first: node.Plant, second: node.Plant) -> node.Plant:
    def plant(root: Path, wanted: dict[str, Any]) -> None:
        first(root, wanted)
        second(root, wanted)

    return plant


def cards(**of_gpu: Any) -> node.Plant:
    return lambda root, wanted: node.gpus(root, **of_gpu)


def ports_down(root: Path, wanted: dict[str, Any]) -> None:
    for file in root.glob("sys/devices/**/ports/1/state"):
        file.write_text("1: DOWN\n")


FAULTS: dict[str, tuple[str, str, str, node.Plant]] = {
    "full disk": (
        "disk-space",
        "fail",
        "100 GiB free, 740 GiB needed: /data/models/r1 (weights: 700 GiB) + /data/docker",
        lambda root, wanted: node.space(root, data=100 * GIB, shm=100 * GIB),
    ),
    "disk with no room to work": (
        "disk-space",
        "warn",
        "no room to work",
        lambda root, wanted: node.space(root, data=750 * GIB, shm=100 * GIB),
    ),
    "small shm": ("shm", "fail", "remount,size=", lambda root, wanted: node.space(root, data=800 * GIB, shm=GIB)),
    "shm on disk": (
        "shm",
        "fail",
        "is no tmpfs but ext4",
        lambda root, wanted: node.space(root, data=800 * GIB, shm=100 * GIB, shm_type="ext4"),
    ),
    "disk too small for a conversion": (
        "disk-space",
        "fail",
        "800 GiB free, 840 GiB needed",
        lambda root, wanted: wanted["paths"][0].update(bytes=400 * GIB, copies=2),
    ),
    "dead NFS mount": (
        "disk-space",
        "fail",
        "did not answer",
        command(f"{node.DF} /data /data/models /var/cache /dev/shm", "df did not answer within 30 s", 124),
    ),
    "read-only file system": ("disk-space", "fail", "read-only", write("proc/self/mounts", "/dev/n /data xfs ro 0 0")),
    "wrong MTU": ("mtu", "fail", "MTU 1500, 9000 is wanted", option(mtu=9000)),
    "small switch MTU": ("path-mtu", "fail", "transfers will hang", command(f"{PING} -M do -s 1472 {PEER}", "", 1)),
    "port taken": (
        "port-free",
        "fail",
        "engine: taken by nginx (pid 77, nginx.service)",
        lambda root, wanted: node.listen(root, 8000),
    ),
    "port of a client": (
        "port-free",
        "warn",
        "to clients",
        option(ports=[{"port": 40000, "purpose": "rendezvous"}]),
    ),
    "cut link": (
        "reach",
        "fail",
        "does not answer: 22: timeout, 29500: timeout",
        both(command(f"connect {PEER} 22", "timeout"), command(f"connect {PEER} 29500", "timeout")),
    ),
    "firewalled port": ("reach", "fail", "although other ports answer", command(f"connect {PEER} 29500", "timeout")),
    "way out by another interface": (
        "route",
        "fail",
        "leaves by eth9, not by bond0",
        command(f"ip -json route get {PEER}", '[{"dev": "eth9"}]'),
    ),
    "no route": ("route", "fail", "unreachable", command(f"ip -json route get {PEER}", "Network is unreachable", 2)),
    "unknown name of a peer": (
        "reach",
        "fail",
        "its name is not known here",
        option(peers=[{"name": "node2", "address": "node2.example", "ports": [22]}]),
    ),
    "no address in the network": (
        "interface",
        "fail",
        "needs one address in the rendezvous network and has none",
        option(address=None, network="10.9.9.0/24"),
    ),
    "no network": (
        "interface",
        "fail",
        "CIDR notation",
        option(address=None, network="10.9.9.0/33"),
    ),
    "several ways to the peers": (
        "interface",
        "fail",
        "reached by different interfaces: bond0 200.0.209.6, eth9 192.0.2.6",
        both(
            both(
                command(f"ip -json route get {PEER}", '[{"dev": "bond0", "prefsrc": "200.0.209.6"}]'),
                command("ip -json route get 192.0.2.7", '[{"dev": "eth9", "prefsrc": "192.0.2.6"}]'),
            ),
            option(
                address=None,
                peers=[
                    {"name": "node2", "address": PEER, "ports": [22]},
                    {"name": "node3", "address": "192.0.2.7", "ports": [22]},
                ],
            ),
        ),
    ),
    "address of no interface": (
        "interface",
        "fail",
        "no interface has the address 10.9.9.9",
        option(address="10.9.9.9"),
    ),
    "address elsewhere": ("interface", "fail", "is on bond0, not on eth0", option(interface="eth0")),
    "link down": (
        "interface",
        "fail",
        "carrier off",
        write("sys/devices/virtual/net/bond0/carrier", "0"),
    ),
    "other OS": ("os", "warn", "fedora 41 is none of", write("etc/os-release", "ID=fedora\\nVERSION_ID=41")),
    "old kernel": ("kernel-version", "fail", "6.1 is needed", option(kernel_min="6.1")),
    "no headers": (
        "kernel-headers",
        "fail",
        f"install linux-headers-{KERNEL}",
        without(f"lib/modules/{KERNEL}/build/Makefile"),
    ),
    "newer kernel installed": (
        "kernel-newest",
        "warn",
        "reboot",
        write("lib/modules/5.15.0-131-generic/modules.dep", ""),
    ),
    "Secure Boot": (
        "secure-boot",
        "fail",
        "will not load",
        write(system.SECURE_BOOT.lstrip("/"), "\x06\x00\x00\x00\x01"),
    ),
    "memlock": (
        "memlock",
        "fail",
        "CAP_SYS_RESOURCE",
        both(
            write("proc/1/limits", "Max locked memory         8388608              8388608              bytes"),
            write("proc/1/status", "CapEff:\\t00000000a80425fb"),
        ),
    ),
    "memlock of logins": (
        "memlock-login",
        "warn",
        "8 MiB",
        write("proc/self/limits", "Max locked memory         8388608              unlimited            bytes"),
    ),
    "no driver": ("driver", "fail", "8 NVIDIA GPUs are on the bus", without(f"commands/{node.QUERY}")),
    "updated driver": (
        "driver",
        "fail",
        "reboot: module 535.183.01 is loaded",
        command(node.QUERY, "Failed to initialize NVML: Driver/library version mismatch\n", 18),
    ),
    "old driver for the image": ("driver-cuda", "fail", "which needs 580.65.06", option(image_cuda="13.0")),
    "older driver than the toolkit's": ("driver-cuda", "warn", "minor version", option(image_cuda="12.8")),
    "lost GPU": ("gpu-count", "fail", "on the bus only", cards(count=7)),
    "weak GPUs": ("gpu-compute-capability", "fail", "8.0, 8.9 is needed", option(compute_capability_min="8.9")),
    "MIG": ("gpu-mig", "fail", "MIG is on: GPUs 0, 1", cards(overrides={"mig_mode": "Enabled"})),
    "fabric in progress": ("gpu-fabric", "fail", "In Progress/", cards(product="h200", fabric="In Progress")),
    "fabric failed": (
        "gpu-fabric",
        "fail",
        "Completed/Error",
        cards(product="b200", fabric="Completed", status="Error"),
    ),
    "Fabric Manager not running": (
        "gpu-fabric",
        "fail",
        "6 NVSwitches, but nvidia-fabricmanager is inactive",
        command("systemctl is-active nvidia-fabricmanager.service", "inactive\n", 3),
    ),
    "GPU memory in use": (
        "gpu-memory",
        "fail",
        "60000 MiB in use by python (pid 99, user@1000.service)",
        both(
            lambda root, wanted: node.process(root, 99, "python", "0::/user.slice/user@1000.service"),
            cards(used_mib=60000, processes=((99, "python", 59990),)),
        ),
    ),
    "no way for GPUDirect": ("gpudirect-rdma", "warn", "NCCL will copy", without("sys/module/nvidia_peermem/version")),
    "ACS": ("pci-acs", "warn", "on 1 bridges", lambda root, wanted: node.bridge_config(root, "0000:01:00.0", acs=0x1D)),
    "IOMMU": (
        "iommu",
        "warn",
        "iommu=pt",
        lambda root, wanted: recorded.write(
            root, f"{str(node.device(root, '0000:03:00.0'))[1:]}/iommu_group/type", "DMA-FQ"
        ),
    ),
    "no engine": ("engine", "fail", "does not exist", option(engine_venv="/opt/absent")),
    "engine of another version": (
        "engine",
        "fail",
        "vllm 0.9.0 is installed, 0.9.1 is wanted",
        option(engine_version="0.9.1"),
    ),
    "environment without the engine": ("engine", "warn", "sglang is not among", option(engine="sglang")),
    "no RDMA port": (
        "rdma-ports",
        "fail",
        "no port is ACTIVE",
        ports_down,
    ),
}
