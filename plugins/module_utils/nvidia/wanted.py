# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wanted of a driver, and where NVIDIA's packages for a node are.

PRIVATE to this collection.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.nvidia.boards import OPEN, PROPRIETARY

VERSION = "nvidia_driver_version"
MODULES = "nvidia_driver_kernel_modules"
REPOSITORY = "fullrank-nvidia-cuda"
# where NVIDIA's repositories are without a mirror; sources of them are replaced also where ours is a mirror
VENDOR = (
    "https://developer.download.nvidia.com/compute/cuda/repos",
    "https://developer.download.nvidia.cn/compute/cuda/repos",
)
# repository → its key's file name and fingerprint. NVIDIA signs by package format and, since 2025, by release: cuda-keyring and
# yum-packaging of the repositories (NVIDIA/yum-packaging-cuda-repo; for debian13 "Kitmaker (Debian 13 Trixie)").
_KEY = ("3bf863cc.pub", "EB693B3035CD5710E231E123A4B469963BF863CC")
_KEYS = {
    "debian13": ("8793F200.pub", "02182E60104FCDC26EAE1B8597A5D4CB8793F200"),
    "rhel9": ("D42D0685.pub", "610C7B14E068A878070DA4E99CD0A493D42D0685"),
}


@dataclass(frozen=True)
class Wanted:
    """The role's variables. source: repository, distribution or runfile. version: exact, or a branch. modules: auto, open or
    proprietary. key, fingerprint: of the repository, where they are not NVIDIA's. runfile_sha256: of the .run file.
    imex_nodes: addresses of the nodes of one NVL72 rack."""

    source: str
    version: str
    modules: str = "auto"
    key_enrolled: bool = False
    kernel_headers: tuple[str, ...] = ()
    repositories: str = ""
    key: str = ""
    fingerprint: str = ""
    not_unattended: tuple[str, ...] = ()
    runfile_sha256: str = ""
    imex_nodes: tuple[str, ...] = ()

    @property
    def branch(self) -> str:
        return self.version.partition(".")[0]


def is_el(facts: dict[str, Any]) -> bool:
    return bool(facts["os"]["family"] == "redhat")


def better_modules(facts: dict[str, Any], wanted: Wanted) -> str:
    """The kernel modules where the GPUs leave the choice. Of Debian's own packages the open ones are behind: they get no security
    updates, and do not build for its kernels since 6.12.97 (docs/decisions/047). One that is there stays."""
    debians = wanted.source == "distribution" and facts["os"]["id"] == "debian"
    return PROPRIETARY if debians and "nvidia-open-kernel-dkms" not in facts["packages"] else OPEN


def needs_repository(wanted: Wanted, fabric: str) -> bool:
    """A .run file brings no Fabric Manager: that comes from the vendor's repository, too."""
    return wanted.source == "repository" or (wanted.source == "runfile" and fabric != "none")


def repository(facts: dict[str, Any], wanted: Wanted) -> dict[str, Any]:
    """The vendor's repository of this distribution and machine below ``wanted.repositories``, with its key, for
    ``fullrank.serving.package_repository``."""
    os = facts["os"]
    name = os["id"] if os["id"] in ("ubuntu", "debian") else "rhel"
    number = os["version"].replace(".", "") if name == "ubuntu" else os["version"].partition(".")[0]
    machine = "sbsa" if facts["architecture"] == "aarch64" else facts["architecture"]
    place = f"{name}{number}/{machine}"
    key, fingerprint = _KEYS.get(f"{name}{number}", _KEY)
    url = f"{wanted.repositories.rstrip('/')}/{place}"
    return {
        "name": REPOSITORY,
        "url": url,
        "key_url": f"{url}/{wanted.key or key}",
        "fingerprint": wanted.fingerprint or fingerprint,
        "aliases": [f"{address}/{place}" for address in VENDOR],
    }
