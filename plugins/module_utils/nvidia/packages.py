# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which packages make a node's driver.

Names are alternatives, because they change with the branch and the distribution; which of them exists, and in which
version, comes from the repository of the node (``packages.plan``):

- branch suffixes ended: nvidia-fabricmanager, nvidia-imex and libnvsdm have none from 580 on (gpu-driver-container pull
  request 451), nvidia-open and cuda-drivers none from 590 on (Driver Installation Guide, "Recent Updates");
- Ubuntu's own archive keeps them in every branch (packages.ubuntu.com: nvidia-imex-595).

PRIVATE to this collection.
"""

from __future__ import annotations

from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.nvidia import boards
from ansible_collections.fullrank.serving.plugins.module_utils.nvidia.wanted import VERSION, Wanted, is_el

# Installed packages that have the driver's version. The container toolkit, CUDA's toolkit and pins have their own.
FAMILY = (
    r"^(?!.*container|.*pinning|.*toolkit)"
    r"(nvidia-|libnvidia-|kmod-nvidia|cuda-drivers|libcuda1$|libnvcuvid1$|libxnvctrl|libnvsdm|xserver-xorg-video-nvidia)"
)
# what remove.yml removes: the family, and what has versions of its own
REMOVAL = rf"{FAMILY}|^(nvidia-driver-pinning|nvlsm$|cuda-keyring$|linux-modules-nvidia-)"
# a driver by packages, which would overwrite that of a .run file; a Fabric Manager may come beside it
DRIVER = (
    r"^(nvidia-(open|driver|headless|dkms|kernel|utils|compute-utils|smi)|cuda-drivers|kmod-nvidia|libcuda1$|"
    r"libnvidia-compute)"
)
# what the .run file builds with, beside dkms; without headers of the C library it refuses (nvidia-installer, misc.c)
_BUILD = {"debian": ("gcc", "make", "libc6-dev"), "redhat": ("gcc", "make", "glibc-devel")}
_DKMS_OF_EL = "3.1.8"  # older ones of EPEL 9 fail with the driver (stackhpc/ansible-slurm-appliance issue 703)


def entry(names: list[str], wanted: str, where: str = VERSION, **more: Any) -> dict[str, Any]:
    """One package for ``fullrank.serving.held_packages``."""
    return {"names": names, "version": wanted, "where": where, **more}


def either(name: str, branch: str, suffix_first: bool = False) -> list[str]:
    """The two names of a package over the branches."""
    names = [name, f"{name}-{branch}"]
    return names[::-1] if suffix_first else names


def package_entries(facts: dict[str, Any], wanted: Wanted, kind: str, fabric: str) -> list[dict[str, Any]]:
    """What is installed, in the order in which ``held_packages`` resolves it; the first of version ``VERSION`` leads."""
    driver = [] if wanted.source == "runfile" else driver_entries(facts, wanted, kind)
    rest = fabric_entries(facts, wanted, fabric, "same" if driver else wanted.version)
    tools = []
    if is_el(facts):
        tools.append(entry(["python3-dnf-plugin-versionlock"], "", hold=False, first=True))
        tools.append(entry(["dkms"], "", hold=False, at_least=_DKMS_OF_EL))
    elif wanted.source == "runfile":
        tools.append(entry(["dkms"], "", hold=False))
    if wanted.source == "runfile":
        tools += [entry([name], "", hold=False) for name in _BUILD[facts["os"]["family"]]]
    return [*header_entries(facts, wanted), *tools, *driver, *rest]


def header_entries(facts: dict[str, Any], wanted: Wanted) -> list[dict[str, Any]]:
    """Headers of the running kernel, where a module is built and they are not there yet."""
    if wanted.kernel_headers:
        return [entry([name], "", where="nvidia_driver_kernel_headers", hold=False) for name in wanted.kernel_headers]
    if facts["headers"] or (wanted.source == "distribution" and facts["os"]["id"] == "ubuntu"):
        return []
    name = ("kernel-devel-" if is_el(facts) else "linux-headers-") + facts["kernel"]
    remedy = f"the archive no longer has {name}: install its newest kernel, boot it, and run this again"
    return [entry([name], "", where="/proc/sys/kernel/osrelease", remedy=remedy, hold=False)]


def driver_entries(facts: dict[str, Any], wanted: Wanted, kind: str) -> list[dict[str, Any]]:
    branch, distribution = wanted.branch, facts["os"]["id"]
    open_ = kind == boards.OPEN
    if wanted.source == "repository":
        driver = entry(either("nvidia-open" if open_ else "cuda-drivers", branch, suffix_first=True), wanted.version)
        # in the driver's own packages up to 580, beside them since
        persistence = entry(["nvidia-persistenced"], "same", optional=True)
        if is_el(facts):
            return [driver, persistence]
        pin = [f"nvidia-driver-pinning-{wanted.version}", f"nvidia-driver-pinning-{branch}"]
        # repositories of before October 2025 have no pins, and driver packages that name their branch
        return [entry(list(dict.fromkeys(pin)), "", hold=False, first=True, optional=True), driver, persistence]
    if distribution == "ubuntu":
        suffix = f"{branch}-server-open" if open_ else f"{branch}-server"
        flavour = facts["kernel"].rpartition("-")[2]
        modules = [f"linux-modules-nvidia-{suffix}-{facts['kernel']}"]
        remedy = f"boot the newest kernel of linux-image-{flavour}, for which Ubuntu builds signed modules"
        return [
            entry([f"nvidia-headless-no-dkms-{suffix}"], wanted.version),
            entry([f"nvidia-utils-{branch}-server"], "same"),
            entry(modules, "", where="/proc/sys/kernel/osrelease", remedy=remedy),
            # follows the kernel, so that the next one finds its modules
            entry([f"linux-modules-nvidia-{suffix}-{flavour}"], ""),
        ]
    built = "nvidia-open-kernel-dkms" if open_ else "nvidia-kernel-dkms"
    return [
        entry(["nvidia-driver"], wanted.version),
        entry([built], "same"),
        entry(["nvidia-smi"], "same"),
        entry(["nvidia-persistenced"], ""),
    ]


def fabric_entries(facts: dict[str, Any], wanted: Wanted, fabric: str, at: str) -> list[dict[str, Any]]:
    """The Fabric Manager refuses to work with a driver of another version, so it gets exactly the driver's."""
    branch = wanted.branch
    if fabric == "nvl72":
        return [entry(either("nvidia-imex", branch), at)]
    if fabric == "none":
        return []
    manager = either("nvidia-fabricmanager", branch)
    if is_el(facts):
        manager = ["nvidia-fabricmanager", "nvidia-fabric-manager"]
    found = [entry(manager, at)]
    if fabric == "nvlink5":
        # the subnet manager has a version of its own, by calendar
        found += [entry(["nvlsm"], ""), entry(either("libnvsdm", branch), at)]
        if facts["os"]["id"] == "ubuntu":
            found.append(entry([f"linux-modules-extra-{facts['kernel']}"], "", hold=False))
    return found
