# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node is to a driver installation: its GPUs by PCI, its kernel, and which driver is there already.

Everything is read through ``Host``. The hardware has a reader of its own, so that a test can give a node other GPUs.

PRIVATE to this collection.
"""

from __future__ import annotations

import re
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.node import pci
from ansible_collections.fullrank.serving.plugins.module_utils.node.reader import Host
from ansible_collections.fullrank.serving.plugins.module_utils.node.system import (
    os_release,
    running_kernel,
    secure_boot,
)
from ansible_collections.fullrank.serving.plugins.module_utils.nvidia import smi
from ansible_collections.fullrank.serving.plugins.module_utils.nvidia.gpu import (
    CLASS_BRIDGE,
    CLASS_DISPLAY,
    VENDOR_NVIDIA,
)
from ansible_collections.fullrank.serving.plugins.module_utils.packages import sources as packages_sources

VENDOR_MELLANOX = "0x15b3"
SUBNET_MANAGER_MARK = b"SW_MNG"  # Fabric Manager User Guide: in the vital product data of the bridges to NVSwitches
OLD_KEY = bytes.fromhex("f60f4b3d7fa2af80")  # the issuer in signatures of NVIDIA's repository key until April 2022
SERVICES = ("nvidia-persistenced", "nvidia-fabricmanager", "nvidia-imex")
IMEX_NODES = "/etc/nvidia-imex/nodes_config.cfg"  # IMEX User's Guide, "Deployment Models"
_SOURCES = "/etc/apt/sources.list.d"
_PACKAGES = ("*nvidia*", "cuda-drivers*", "cuda-keyring", "libcuda1", "libnvsdm*", "nvlsm", "dkms")


def collect(host: Host, hardware: Host) -> dict[str, Any]:
    """The facts that ``nvidia.plan`` decides by; nothing is changed."""
    release = os_release(host)
    families = (release.get("ID", ""), *release.get("ID_LIKE", "").split())
    family = "debian" if "debian" in families or "ubuntu" in families else "redhat"
    kernel = running_kernel(host)
    sources = apt_sources(host) if family == "debian" else []
    devices = {
        address: host_int(hardware, f"{pci.DEVICES}/{address}/device")
        for address in pci.find(hardware, VENDOR_NVIDIA, CLASS_DISPLAY)
    }
    return {
        "os": {
            "id": release.get("ID", ""),
            "version": release.get("VERSION_ID", ""),
            "codename": release.get("VERSION_CODENAME", ""),
            "family": family,
        },
        "architecture": _output(host, "uname", "-m"),
        "kernel": kernel,
        "headers": host.exists(f"/lib/modules/{kernel}/build/Makefile"),
        "gpus": devices,
        "nvswitches": max(
            len(pci.find(hardware, VENDOR_NVIDIA, CLASS_BRIDGE)),
            len(hardware.entries("/proc/driver/nvidia-nvswitch/devices")),
        ),
        "subnet_managers": [
            address
            for address in pci.find(hardware, VENDOR_MELLANOX, ("0x02",))
            if drives_nvswitches(hardware, address)
        ],
        "secure_boot": secure_boot(hardware),
        "nouveau_loaded": hardware.exists("/sys/module/nouveau"),
        "loaded": smi.parse_kernel_module(hardware.read("/proc/driver/nvidia/version") or ""),
        "packages": installed_packages(host, family),
        "runfile_version": runfile_version(host),
        "sources": sources,
        "archive": debian_archive(sources) if release.get("ID") == "debian" else [],
        "old_keys": old_keys(host) if family == "debian" else [],
        "services": services(host),
        "imex_nodes": (host.read(IMEX_NODES) or "").split(),
        "initramfs": initramfs_command(host),
    }


def drives_nvswitches(host: Host, address: str) -> bool:
    """Whether the Subnet Manager reaches NVSwitches by this bridge."""
    return SUBNET_MANAGER_MARK in (host.read_bytes(f"{pci.DEVICES}/{address}/vpd") or b"")


def host_int(host: Host, path: str) -> int:
    return host.read_int(path) or 0


def _output(host: Host, *argv: str) -> str:
    result = host.run(*argv)
    return result.stdout.strip() if result and result.rc == 0 else ""


def installed_packages(host: Host, family: str) -> dict[str, str]:
    """Name → version of installed packages that have to do with the driver."""
    command: tuple[str, ...]
    if family == "debian":
        command = ("dpkg-query", "-W", "-f=${db:Status-Abbrev}|${Package}|${Version}\\n", *_PACKAGES)
    else:
        command = ("rpm", "-qa", "--qf", "ii |%{NAME}|%{EPOCHNUM}:%{VERSION}-%{RELEASE}\\n", *_PACKAGES)
    result = host.run(*command)  # 1 where one of the patterns matches nothing
    rows = [line.split("|") for line in (result.stdout if result else "").splitlines()]
    return {row[1]: row[2].removeprefix("0:") for row in rows if len(row) == 3 and row[0][1:2] == "i"}


def initramfs_command(host: Host) -> list[str]:
    """The command that rebuilds the initramfs of the running kernel; empty where there is none."""
    if host.exists("/usr/sbin/update-initramfs"):
        return ["update-initramfs", "-u"]
    return ["dracut", "--force"] if host.exists("/usr/bin/dracut") or host.exists("/usr/sbin/dracut") else []


def runfile_version(host: Host) -> str | None:
    """The version that a .run file installed; "" where it is there without telling; None where there is none.

    NVIDIA's installer leaves nvidia-uninstall, which no package brings.
    """
    if not host.exists("/usr/bin/nvidia-uninstall"):
        return None
    for folder in ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"):
        for name in host.entries(folder):
            match = re.match(r"^libnvidia-ml\.so\.(\d+\.[\d.]+)$", name)
            if match:
                return match.group(1)
    return ""


def apt_sources(host: Host) -> list[dict[str, str]]:
    """Files with package sources, and their text."""
    paths = ["/etc/apt/sources.list", *(f"{_SOURCES}/{name}" for name in host.entries(_SOURCES))]
    texts = ((path, host.read(path)) for path in paths if path.endswith((".list", ".sources")))
    return [{"path": path, "text": text} for path, text in texts if text]


def debian_archive(sources: list[dict[str, str]]) -> list[dict[str, str]]:
    """What apt is configured with of Debian's own archive: what it is called is in its address, on cloud images in a file's."""
    rows = [row for one in sources for row in packages_sources.entries(one["text"], one["path"])]
    return [row for row in rows if re.search(r"/debian(-security)?(\.list)?/?$", row["uri"])]


def old_keys(host: Host) -> list[str]:
    """Keyrings that hold NVIDIA's repository key of before April 2022."""
    folder = "/etc/apt/trusted.gpg.d"
    paths = ["/etc/apt/trusted.gpg", *(f"{folder}/{name}" for name in host.entries(folder) if name.endswith(".gpg"))]
    return [path for path in paths if OLD_KEY in (host.read_bytes(path) or b"")]


def services(host: Host) -> dict[str, dict[str, bool]]:
    """Which of the driver's services exist, are enabled and run."""
    units = [f"{name}.service" for name in SERVICES]
    text = _output(host, "systemctl", "show", "--property=Id,LoadState,UnitFileState,ActiveState", *units)
    found = {}
    for block in text.split("\n\n"):
        shown = dict(line.partition("=")[::2] for line in block.splitlines())
        if shown.get("LoadState") == "loaded":
            found[shown["Id"].removesuffix(".service")] = {
                # static units are started by udev or by another unit
                "enabled": shown.get("UnitFileState") in ("enabled", "static", "indirect"),
                "active": shown.get("ActiveState") == "active",
            }
    return found
