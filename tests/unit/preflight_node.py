# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node that passes every preflight check, for tests to plant faults in."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import recorded
from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import Finding
from ansible_collections.fullrank.serving.plugins.module_utils.node import pci
from ansible_collections.fullrank.serving.plugins.module_utils.node.reader import Host
from ansible_collections.fullrank.serving.plugins.module_utils.nvidia import gpu
from ansible_collections.fullrank.serving.plugins.module_utils.preflight import run
from ansible_collections.fullrank.serving.plugins.modules.preflight import OPTIONS

QUERY = "nvidia-smi -q -x"
GIB = 2**30
KERNEL = "5.15.0-130-generic"
ADDRESS, PEER = "200.0.209.6", "200.0.209.7"
CONTAINER = "4f" * 32
PCI_CONFIG_BYTES = 4096
PING = "ping -n -q -c 1 -W 2"
DF = "df --block-size=1 --output=target,fstype,size,avail"

Plant = Callable[[Path, dict[str, Any]], None]


def wanted(**changes: Any) -> dict[str, Any]:
    """The module's options as Ansible hands them over: everything that is asked of the good node."""
    return {
        **{name: option.get("default") for name, option in OPTIONS.items()},
        "deployment": "r1",
        "address": ADDRESS,
        "interface": "bond0",
        "mtu": 1500,
        "peers": [{"name": "node2", "address": PEER, "ports": [22, 29500]}],
        "ports": [{"port": 29500, "purpose": "rendezvous"}, {"port": 8000, "purpose": "engine"}],
        "paths": [
            {"path": "/data/models/r1", "bytes": 700 * GIB, "purpose": "weights", "copies": 1, "reuse": True},
            {"path": "/data/docker", "bytes": 40 * GIB, "purpose": "image", "copies": 1, "reuse": False},
            {"path": "/var/cache", "bytes": GIB, "purpose": "packages", "copies": 1, "reuse": False},
        ],
        "shm_bytes": 16 * GIB,
        "memlock_bytes": -1,
        "gpu_count": 8,
        "compute_capability_min": "8.0",
        "image_cuda": "12.2",
        "image": "engine:1",
        "engine_venv": "/opt/engine",
        "engine": "vllm",
        "engine_version": "0.9.0",
        "rdma": True,
        "kernel_min": "5.12",
        "kernel_headers": True,
        **changes,
    }


def lay_out(root: Path) -> Path:
    """The files and recorded commands of the good node."""
    recorded.unpack("a100-roce", root, leave_out=r"/gid|/net/(rdma|docker)|fw_ver|hca_type|board_id|ndevs")
    files = {
        "etc/os-release": 'NAME="Ubuntu"\\nID=ubuntu\\nID_LIKE=debian\\nVERSION_ID="22.04"',
        "proc/sys/kernel/osrelease": KERNEL,
        f"lib/modules/{KERNEL}/build/Makefile": "",
        f"lib/modules/{KERNEL}/modules.dep": "",
        "proc/1/limits": "Max locked memory         unlimited            unlimited            bytes",
        "proc/1/status": "CapEff:\\t000001ffffffffff",
        "proc/self/limits": "Max locked memory         unlimited            unlimited            bytes",
        "proc/self/mounts": "/dev/sda1 / ext4 rw 0 0\\n/dev/nvme0 /data xfs rw,noatime 0 0",
        "proc/net/tcp": "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid",
        "proc/sys/net/ipv4/ip_local_port_range": "32768\\t60999",
        "proc/sys/net/ipv4/ip_local_reserved_ports": "",
        "sys/module/nvidia_peermem/version": "535.183.01",
        "opt/engine/lib/python3.11/site-packages/vllm-0.9.0.dist-info/METADATA": "",
        "opt/engine/lib/python3.11/site-packages/nvidia_nccl_cu12-2.26.2.dist-info/METADATA": "",
        "opt/engine/lib/python3.11/site-packages/requests-2.32.0.dist-info/METADATA": "",
        "data/models/.keep": "",
        "var/cache/.keep": "",
    }
    for path, content in files.items():
        recorded.write(root, path, content)
    gpus(root)
    for bridge in {part for address in addresses(root) for part in pci.chain(device(root, address))[1:-1]}:
        bridge_config(root, bridge, acs=0)
    recorded.command(root, "date +%s", "1000.2\n")
    space(root, data=800 * GIB, shm=100 * GIB)
    recorded.command(root, "systemctl is-active nvidia-fabricmanager.service", "active\n")
    recorded.command(root, "docker image inspect --format {{.Id}} engine:1", "sha256:aa\n")
    for port in (22, 29500):
        recorded.command(root, f"connect {PEER} {port}", "open" if port == 22 else "refused")
    recorded.command(root, f"ip -json route get {PEER}", json.dumps([{"dst": PEER, "dev": "bond0"}]))
    recorded.command(root, f"{PING} -s 56 {PEER}", "1 received\n")
    recorded.command(root, f"{PING} -M do -s 1472 {PEER}", "1 received\n")
    return root


def addresses(root: Path) -> list[str]:
    return pci.find(Host(str(root)), gpu.VENDOR_NVIDIA, gpu.CLASS_DISPLAY)


def device(root: Path, address: str) -> str | None:
    return Host(str(root)).resolve(f"{pci.DEVICES}/{address}")


def gpus(root: Path, count: int = 8, product: str = "a100", **of_gpu: Any) -> None:
    xml = {"driver": "535.183.01", "cuda": "12.2", "fabric": "N/A", "status": "N/A", **of_gpu}
    recorded.command(root, QUERY, recorded.nvidia_smi_xml(product, addresses(root)[:count], **xml))


def space(root: Path, data: int, shm: int, shm_type: str = "tmpfs") -> None:
    """What df prints: weights and images on /data, everything else on /."""
    volumes = {
        "/": f"/ ext4 {100 * GIB} {50 * GIB}",
        "/data": f"/data xfs {2048 * GIB} {data}",
        "/dev/shm": f"/dev/shm {shm_type} {504 * GIB} {shm}",
    }
    mounts = {"/data": "/data", "/data/models": "/data", "/var/cache": "/", "/dev/shm": "/dev/shm"}
    answer = ["Mounted on Type 1B-blocks Avail", *(volumes[target] for target in mounts.values())]
    recorded.command(root, f"{DF} {' '.join(mounts)}", "\n".join(answer) + "\n")


def bridge_config(root: Path, bridge: str, acs: int) -> None:
    """The configuration space of a bridge with an AER and an ACS capability."""
    config = bytearray(PCI_CONFIG_BYTES)
    config[0x100:0x104] = (0x0001 | 1 << 16 | 0x140 << 20).to_bytes(4, "little")
    config[0x140:0x144] = (0x000D | 1 << 16 | 0x000 << 20).to_bytes(4, "little")
    config[0x146:0x148] = acs.to_bytes(2, "little")
    folder = root / "sys/bus/pci/devices" / bridge
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config").write_bytes(config)


def listen(root: Path, port: int, inode: int = 4242, address: str = "00000000") -> None:
    """A listening socket of process 77, which is ``nginx`` in nginx.service."""
    line = f"   0: {address}:{port:04X} 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 {inode} 1"
    recorded.write(root, "proc/net/tcp", f"  sl  local_address\\n{line}")
    process(root, 77, "nginx", "0::/system.slice/nginx.service", inode)


def process(root: Path, pid: int, command: str, cgroup: str, inode: int = 0) -> None:
    recorded.write(root, f"proc/{pid}/comm", command)
    recorded.write(root, f"proc/{pid}/cgroup", cgroup)
    recorded.write(root, f"proc/{pid}/fd/0", "-> /dev/null")
    recorded.write(root, f"proc/{pid}/fd/3", f"-> socket:[{inode}]")


def ask(root: Path, **changes: Any) -> dict[str, Any]:
    """What the module would answer."""
    return run.run(Host(str(root)), wanted(**changes))


def trouble(answer: dict[str, Any]) -> list[Finding]:
    return [check for check in answer["checks"] if check["severity"] in ("fail", "warn")]
