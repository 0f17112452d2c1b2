# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Facts of a node and what is wanted of it → the plan of its driver: packages, files, services, and what forbids it.

PRIVATE to this collection.
"""

from __future__ import annotations

from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common.versions import numbers
from ansible_collections.fullrank.serving.plugins.module_utils.nvidia import boards, packages
from ansible_collections.fullrank.serving.plugins.module_utils.nvidia.findings import findings
from ansible_collections.fullrank.serving.plugins.module_utils.nvidia.installed import (
    installed_source,
    installed_version,
    reboot_reasons,
)
from ansible_collections.fullrank.serving.plugins.module_utils.nvidia.wanted import (
    Wanted,
    better_modules,
    is_el,
    needs_repository,
    repository,
)

ARCHIVE_SOURCE = "/etc/apt/sources.list.d/fullrank-debian-components.sources"
UNATTENDED = "/etc/apt/apt.conf.d/52fullrank-nvidia-driver"
NOUVEAU = "/etc/modprobe.d/fullrank-nouveau.conf"
IMEX_CHANNEL = "/etc/modprobe.d/fullrank-imex.conf"
NVLINK_MODULES = "/etc/modules-load.d/fullrank-nvlink.conf"
PERSISTENCED = "/etc/systemd/system/nvidia-persistenced.service"
PERSISTENCE_MODE = "/etc/systemd/system/nvidia-persistenced.service.d/fullrank.conf"
OWN_FILES = (ARCHIVE_SOURCE, UNATTENDED, NOUVEAU, IMEX_CHANNEL, NVLINK_MODULES, PERSISTENCED, PERSISTENCE_MODE)
# Components of Debian's archive beside main. NVIDIA's packages for Debian need contrib (its installation guide); Debian's own are
# in non-free, and their open modules need firmware-nvidia-gsp.
_DEBIAN_COMPONENTS = {"repository": ("contrib",), "distribution": ("contrib", "non-free", "non-free-firmware")}
# the .run file brings the daemon and no unit (NVIDIA/nvidia-persistenced, init/README)
_PERSISTENCED_UNIT = (
    "[Unit]\nDescription=NVIDIA driver stays loaded while no process uses the GPUs\n"
    "[Service]\nType=forking\nExecStart=/usr/bin/nvidia-persistenced\n"
    "ExecStopPost=/bin/rm -rf /run/nvidia-persistenced\n"
    "[Install]\nWantedBy=multi-user.target\n"
)
FABRIC_SERVICES: dict[str, list[str]] = {
    "none": [],
    "nvswitch": ["nvidia-fabricmanager"],
    "nvlink5": ["nvidia-fabricmanager"],  # starts nvlsm itself
    "nvl72": ["nvidia-imex"],
}


def plan(facts: dict[str, Any], wanted: Wanted) -> dict[str, Any]:
    """The plan for a node; its keys are documented as those of ``fullrank.serving.nvidia_driver_info``."""
    gpus = sorted(facts["gpus"].values())
    fabric = boards.fabric(gpus, facts["nvswitches"], len(facts["subnet_managers"]))
    kind, _unused = boards.kernel_modules(gpus, wanted.modules, better_modules(facts, wanted))
    installed = installed_version(facts)
    there = facts["services"]
    services = ["nvidia-persistenced", *FABRIC_SERVICES[fabric]]
    if not (wanted.imex_nodes or facts["imex_nodes"]):
        services = [name for name in services if name != "nvidia-imex"]  # it does not start without its list of nodes
    return {
        "skip": "" if gpus else "there is no NVIDIA GPU on the PCI bus",
        "gpus": [boards.product(gpu) for gpu in gpus],
        "kernel_modules": kind,
        "fabric": fabric,
        "installed_source": installed_source(facts),
        "installed_version": installed,
        "swaps": installed is not None and not _is(installed, wanted.version),
        "loaded_version": facts["loaded"]["version"],
        "nouveau_loaded": facts["nouveau_loaded"],
        "reboot_reasons": reboot_reasons(facts),
        "repository": repository(facts, wanted) if needs_repository(wanted, fabric) else {},
        "packages": packages.package_entries(facts, wanted, kind, fabric),
        "family": packages.FAMILY if wanted.source != "runfile" else "",
        "refused": packages.DRIVER if wanted.source == "runfile" else "",
        "removal": packages.REMOVAL,
        "module_commands": module_commands(facts, wanted, kind, installed),
        "files": files(facts, wanted, fabric),
        "own_files": [{"path": path, "state": "absent"} for path in OWN_FILES],
        "initramfs": facts["initramfs"],
        "services_there": sorted(there),
        "services_to_enable": [name for name in services if not there.get(name, {}).get("enabled")],
        "services_to_start": [name for name in services if not there.get(name, {}).get("active")],
        "runfile_arguments": runfile_arguments(wanted, kind),
        "findings": findings(facts, wanted, gpus, fabric) if gpus else [],
    }


def _is(installed: str, wanted: str) -> bool:
    """Whether a version is the wanted one, or of the wanted branch."""
    return f"{installed}.".startswith(f"{wanted}.")


def module_commands(facts: dict[str, Any], wanted: Wanted, kind: str, installed: str | None) -> list[list[str]]:
    """What chooses the stream of dnf's module nvidia-driver, where another branch is installed or none."""
    if not is_el(facts) or wanted.source != "repository" or (installed and _is(installed, wanted.branch)):
        return []
    stream = f"{wanted.branch}-{'open' if kind == boards.OPEN else 'dkms'}"
    return [
        ["dnf", "-y", "module", "reset", "nvidia-driver"],
        ["dnf", "-y", "module", "enable", f"nvidia-driver:{stream}"],
    ]


def files(facts: dict[str, Any], wanted: Wanted, fabric: str) -> list[dict[str, str]]:
    """What the package manager, the kernel and systemd must know, for ``fullrank.serving.node_files``."""
    found = [{"path": path, "state": "absent"} for path in old_keyrings(facts, wanted)]
    archive = missing_components(facts, wanted)
    if archive:
        found.append({"path": ARCHIVE_SOURCE, "content": archive})
    if not is_el(facts):
        rows = "".join(f'  "{name}";\n' for name in wanted.not_unattended)
        text = f"Unattended-Upgrade::Package-Blacklist {{\n{rows}}};\n"
        found.append({"path": UNATTENDED, "content": text, "comment": "//"})
    found.append({"path": NOUVEAU, "content": "blacklist nouveau\noptions nouveau modeset=0\n"})
    if fabric == "nvlink5":
        found.append({"path": NVLINK_MODULES, "content": "ib_umad\nmlx5_ib\n"})
    if fabric == "nvl72":
        # without a channel CUDA may not export memory to other nodes (IMEX User's Guide, "IMEX Channels")
        found.append({"path": IMEX_CHANNEL, "content": "options nvidia NVreg_CreateImexChannel0=1\n"})
    # packages for Ubuntu start the daemon with --no-persistence-mode
    found.append(
        {"path": PERSISTENCE_MODE, "content": "[Service]\nExecStartPost=-/usr/bin/nvidia-smi --persistence-mode=1\n"}
    )
    if wanted.source == "runfile":
        found.append({"path": PERSISTENCED, "content": _PERSISTENCED_UNIT})
    return found


def old_keyrings(facts: dict[str, Any], wanted: Wanted) -> list[str]:
    """Keyrings with the key that NVIDIA withdrew, and no other key."""
    if wanted.source == "distribution":
        return []
    return [path for path in facts["old_keys"] if path != "/etc/apt/trusted.gpg"]


def missing_components(facts: dict[str, Any], wanted: Wanted) -> str:
    """Sources (deb822) of the components that the driver needs, at main's address and with its key; "" where none is missing.

    Debian's own driver gets its fixes by the security suite, where the node has that of main.
    """
    needed = _DEBIAN_COMPONENTS.get(wanted.source, ()) if facts["os"]["id"] == "debian" else ()
    names = (facts["os"]["codename"], "stable", "oldstable")
    suites = [names, tuple(f"{name}-security" for name in names)] if wanted.source == "distribution" else [names]
    found = []
    for alike in suites:
        rows = [row for row in facts["archive"] if row["suite"] in alike]
        main = next((row for row in rows if row["component"] == "main"), None)
        missing = [name for name in needed if name not in {row["component"] for row in rows}]
        if main and missing:
            signed = f"Signed-By: {main['signed_by']}\n" if main["signed_by"] else ""
            place = f"Types: deb\nURIs: {main['uri']}\nSuites: {main['suite']}\n"
            found.append(f"{place}Components: {' '.join(missing)}\n{signed}")
    return "\n".join(found)


def runfile_arguments(wanted: Wanted, kind: str) -> list[str]:
    """Options of the .run file; --kernel-module-type came with branch 555 (NVIDIA/nvidia-installer), -m is its name before."""
    if wanted.source != "runfile":
        return []
    if numbers(wanted.version) >= (555,):
        return ["--silent", "--dkms", f"--kernel-module-type={kind}"]
    return ["--silent", "--dkms", f"-m={'kernel-open' if kind == boards.OPEN else 'kernel'}"]
