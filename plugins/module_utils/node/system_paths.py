# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which paths of a node are the system's, and which are for data. Pure, by names alone; private to this collection.

Sources: hier(7), Filesystem Hierarchy Standard 3.0. What a link leads to is not seen here: who can look resolves it first.
"""

from __future__ import annotations

import posixpath
import re

PROGRAMS = ("bin", "lib", "lib32", "lib64", "libx32", "sbin", "usr")
_OF_THE_SYSTEM = frozenset(
    (
        *PROGRAMS,
        "boot",
        "dev",
        "efi",
        "etc",
        "gnu",
        "lost+found",
        "nix",
        "ostree",
        "proc",
        "run",
        "selinux",
        "snap",
        "sys",
    )
) | {"sysroot"}
"""Folders of the root in which nothing is for data. What the standard does not name there is the site's own: /data, /lustre."""
_FOR_DATA = ("media", "mnt", "srv", "tmp")
"""What lies below them is for data."""
_SHARED = (["var", "lib"], ["var", "cache"], ["var", "tmp"])
_OF_VAR = frozenset("adm backups crash db empty kerberos lock log mail named opt run spool yp".split())
_OF_VAR_LIB = frozenset(
    "NetworkManager PackageKit alternatives apparmor apt authselect cloud cni containerd containers dbus dhcp dhclient dkms dnf "
    "docker dpkg etcd flatpak fullrank gdm git grub initramfs-tools kubelet libvirt logrotate lxc lxd machines misc mlocate "
    "needrestart nfs os-prober pam plymouth polkit-1 private python rancher rpm samba selinux shim-signed snapd ssl-cert "
    "sudo sss systemd ubuntu-advantage ucf udisks2 unattended-upgrades update-manager update-notifier upower usbutils "
    "waagent xfsdump xkb".split()
)
_MODELS = re.compile(
    r"(.*[-_.])?(models?|weights|huggingface|hf|modelscope|vllm|sglang|lmdeploy|ollama|llms?|ai)([-_.].*)?"
)
"""Names of folders below /var/lib and /var/cache that are for models."""
_LOCAL = frozenset("bin etc games include lib lib64 libexec man sbin share src".split())
"""What the standard has in /usr/local."""
_OPT = re.compile(r"(fullrank|nvidia|mellanox|cni|containerd)([-_.].*)?")
"""Programs below /opt that run as root."""


def normal(path: str) -> str:
    """A whole path without its dots and doubled slashes, by text alone."""
    return "/" + posixpath.normpath(path).lstrip("/")


def within(path: str, folder: str) -> bool:
    """Whether a path is a folder or lies below it."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def reserved(path: str) -> str:
    """Why a whole path cannot become a folder that is given to an account of ours; empty when it may.

    >>> reserved("/etc"), reserved("/data/models"), reserved("/srv")
    ('is a folder of the system', '', 'is a folder in which others keep theirs')
    """
    parts = normal(path)[1:].split("/")
    top, below = parts[0], parts[1:]
    if not top or _is_systems(top, below):
        return "is a folder of the system"
    if (not below and top in (*_FOR_DATA, "home", "opt", "var")) or parts in _SHARED:
        return "is a folder in which others keep theirs"
    if parts == ["root"] or (top == "home" and len(parts) == 2):
        return "is the home of a user"
    if _is_hidden_at_home(parts):
        return "is where a user's settings and keys are"
    return ""


def for_data(path: str, *, read_only: bool) -> bool:
    """Whether a container may have a path: what is known to hold data. Read-only, programs may be read too."""
    parts = normal(path)[1:].split("/")
    top, below = parts[0], parts[1:]
    if top in PROGRAMS and read_only:
        return True
    if not top or _is_systems(top, below) or _is_hidden_at_home(parts):
        return False
    if top == "home":
        return len(parts) > 2
    if top == "opt":
        return bool(below) and (read_only or not _OPT.fullmatch(below[0]))
    if top == "root":
        return bool(below)
    if top == "var":
        return len(parts) > 2 and (below[0] == "tmp" or bool(_MODELS.fullmatch(below[1])))
    return True


def _is_systems(top: str, below: list[str]) -> bool:
    """Whether nothing there is for data."""
    if top.startswith("."):
        return True
    if top == "usr" and below[:1] == ["local"]:
        return len(below) < 2 or below[1] in _LOCAL
    if top == "var" and below:
        first, then = below[0], below[1:]
        return first in _OF_VAR or (first == "lib" and bool(then) and then[0] in _OF_VAR_LIB)
    if top == "tmp" and below:
        return below[0].startswith(".")  # sockets of X, private folders
    return top in _OF_THE_SYSTEM


def _is_hidden_at_home(parts: list[str]) -> bool:
    """``.ssh`` and its like in a home; of ``.cache`` what lies below it is data."""
    inside = parts[1:] if parts[0] == "root" else parts[2:] if parts[0] == "home" else []
    return bool(inside) and inside[0].startswith(".") and not (inside[0] == ".cache" and len(inside) > 1)
