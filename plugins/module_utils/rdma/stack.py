# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""RDMA software: which packages, sources and files make up the stack that was chosen, by distribution. Pure.

PRIVATE to this collection.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

INBOX, DOCA, MLNX_OFED = "inbox", "doca", "mlnx_ofed"
OUT_OF_TREE = (DOCA, MLNX_OFED)

# Kernel modules that a program of user space needs, whatever the card: rdma-core's rdma.conf and infiniband.conf load the
# same, but only once udev sees a device, and a blacklist or a stopped udev hides that.
_MODULES = ("ib_uverbs", "rdma_ucm", "ib_umad")
_DRIVERS = {"0x15b3": "mlx5_ib"}  # PCI vendor → driver; other vendors' drivers bind by udev

# Names in the archives of Debian 12/13 and Ubuntu 22.04/24.04, and of RHEL 9 (BaseOS and AppStream).
_INBOX = {
    "debian": (
        "rdma-core",
        "ibverbs-providers",
        "librdmacm1t64|librdmacm1",
        "ibverbs-utils",
        "infiniband-diags",
        "perftest",
    ),
    "redhat": ("rdma-core", "libibverbs", "librdmacm", "libibverbs-utils", "infiniband-diags", "perftest"),
}
# doca-ofed: DOCA Installation Guide for Linux, "Installation profiles". mlnx-ofed-all: MLNX_OFED 24.10 LTS documentation,
# "Installing MLNX_OFED Using apt-get" (its -dkms form builds for the running kernel).
_LEADER = {DOCA: ("doca-ofed",), MLNX_OFED: ("mlnx-ofed-all", "mlnx-ofed-all-user-only")}

LIMITS_FILE = "/etc/security/limits.d/90-fullrank-rdma.conf"
SYSTEM_FILE = "/etc/systemd/system.conf.d/90-fullrank-rdma.conf"
MODULES_FILE = "/etc/modules-load.d/fullrank-rdma.conf"
OPENIBD_FILE = "/etc/systemd/system/openibd.service.d/fullrank-peermem.conf"
REPOSITORY = "fullrank-rdma"
"""Names the files of the repository and its key."""
OWN_FILES = (LIMITS_FILE, SYSTEM_FILE, MODULES_FILE, OPENIBD_FILE)


@dataclass(frozen=True)
class Installed:
    """What RDMA software a node has: ``kind`` (``inbox``, ``doca``, ``mlnx_ofed`` or empty) and its version."""

    kind: str
    version: str


def parse_ofed_info(text: str) -> Installed:
    """``ofed_info -s``.

    >>> parse_ofed_info("MLNX_OFED_LINUX-24.10-1.1.4.0:")
    Installed(kind='mlnx_ofed', version='24.10-1.1.4.0')
    >>> parse_ofed_info("OFED-internal-25.07-0.9.7:").kind
    'doca'
    """
    match = re.search(r"^(MLNX_OFED_LINUX|OFED-internal)-(\d\S*?):?\s*$", text, re.MULTILINE)
    if match is None:
        return Installed("", "")
    return Installed(MLNX_OFED if match[1] == "MLNX_OFED_LINUX" else DOCA, match[2])


def family(release: dict[str, str]) -> str:
    """``debian`` or ``redhat`` by os-release(5); empty for anything else."""
    names = {release.get("ID", ""), *release.get("ID_LIKE", "").split()}
    if names & {"debian", "ubuntu"}:
        return "debian"
    return "redhat" if names & {"rhel", "fedora", "centos"} else ""


def platform(release: dict[str, str]) -> str:
    """The folder of a release in NVIDIA's repositories: Ubuntu by its full number, the others by their first.

    >>> platform({"ID": "ubuntu", "VERSION_ID": "24.04"}), platform({"ID": "rocky", "ID_LIKE": "rhel", "VERSION_ID": "9.5"})
    ('ubuntu24.04', 'rhel9')
    """
    number = release.get("VERSION_ID", "")
    if release.get("ID") == "ubuntu":
        return f"ubuntu{number}"
    name = "debian" if family(release) == "debian" else "rhel"
    return f"{name}{number.partition('.')[0]}"


def architecture(machine: str, source: str) -> str:
    """The last folder: DOCA calls the 64-bit ARM of servers ``arm64-sbsa``, MLNX_OFED ``aarch64``."""
    if machine == "aarch64":
        return "arm64-sbsa" if source == DOCA else "aarch64"
    return machine


def repository_url(base: str, source: str, version: str, release: dict[str, str], machine: str) -> str:
    """The flat repository: ``BASE/doca/3.2.1/ubuntu24.04/x86_64`` or ``BASE/mlnx_ofed/24.10-1.1.4.0/...``.

    ``base`` that holds a file ``Packages`` itself (a mirror of one release) ends with a slash and is taken as it is.
    """
    if base.endswith("/"):
        return base
    return f"{base}/{version}/{platform(release)}/{architecture(machine, source)}/"


def packages(source: str, distribution: str, version: str) -> list[dict[str, Any]]:
    """The entries for ``fullrank.serving.held_packages``: what an own kernel module depends on is held."""
    if source == INBOX:
        rows = [name.split("|") for name in _INBOX[distribution]]
        return [{"names": names, "hold": False, "where": "rdma_source"} for names in rows]
    # the leader has the number of the release (doca-ofed 3.1.0-091000, mlnx-ofed-all 24.10-1.1.4.0), the others their own;
    # a folder such as latest-2.9-LTS has none
    release = version if version[:1].isdigit() else ""
    leader = {"names": list(_LEADER[source]), "version": release, "hold": True, "where": "rdma_version"}
    return [leader, {"names": ["perftest"], "hold": False, "where": "rdma_source"}]


def modules(vendors: set[str]) -> list[str]:
    """Kernel modules of these cards (PCI vendor ids), in the order to load them."""
    return [*sorted(_DRIVERS[vendor] for vendor in vendors if vendor in _DRIVERS), *_MODULES]


def limits_text() -> str:
    """limits.conf(5): a wildcard does not match root, so root is named."""
    rows = (("*", "soft"), ("*", "hard"), ("root", "soft"), ("root", "hard"))
    return "".join(f"{who} {kind} memlock unlimited\n" for who, kind in rows)


def system_text() -> str:
    """systemd-system.conf(5)."""
    return "[Manager]\nDefaultLimitMEMLOCK=infinity\n"


def openibd_text() -> str:
    """A restart of openibd unloads nvidia-peermem with ib_core. The dash: a driver that is not ready yet must not stop
    the network; the role's verify step looks at the module itself."""
    return "[Service]\nExecStartPost=-/sbin/modprobe nvidia-peermem\n"
