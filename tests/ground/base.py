# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The root file system that all nodes of the test ground share, read-only: a Debian (or Ubuntu) with systemd, sshd and Python.

Made once by mmdebstrap and cached; made again when anything it is made of changes (``recipe``).
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

HEARTBEAT = Path(__file__).resolve().parents[1] / "heartbeat"

PACKAGES = (
    # what a server image brings
    "apt ca-certificates curl dbus gnupg iproute2 iputils-ping kmod less libpam-systemd lsb-release netbase nftables iptables "
    # what the ground and Ansible need
    "openssh-server procps python3 python3-apt sudo systemd systemd-sysv udev "
    # what the CPU wheels of the engines link to
    "libnuma1"
).split()

# Units that would reach for the devices, the clock or the network of the machine, or run at their own time.
MASKED = (
    "apt-daily.timer apt-daily-upgrade.timer console-getty.service dpkg-db-backup.timer e2scrub_all.timer fstrim.timer "
    "getty@.service motd-news.timer systemd-modules-load.service systemd-networkd.service systemd-resolved.service "
    "systemd-timesyncd.service systemd-udev-trigger.service systemd-udevd-control.socket systemd-udevd-kernel.socket "
    "systemd-udevd.service"
).split()

UBUNTU_SUITES = ("jammy", "noble")
NO_DOCUMENTATION = ("/usr/share/man/*", "/usr/share/doc/*", "/usr/share/locale/*")


@dataclass(frozen=True)
class Mirror:
    """Where packages come from: the archive's address and that of its security updates."""

    archive: str
    security: str


def machine_mirror() -> Mirror:
    """The mirror that this machine's own apt is configured with.

    Raises SystemExit with what to do when apt knows no Debian archive (no ``apt-get update`` yet, or an Ubuntu machine).
    """
    fields = "$(LABEL)|$(REPO_URI)"
    listing = subprocess.run(
        ["apt-get", "indextargets", "--format", fields, "Created-By: Packages"],
        check=True,
        capture_output=True,
        text=True,
    )
    by_label = dict(line.split("|", 1) for line in listing.stdout.splitlines() if "|" in line)
    if "Debian" not in by_label:
        raise SystemExit("apt of this machine lists no Debian archive: run 'apt-get update', or set GROUND_MIRROR")
    archive = by_label["Debian"].rstrip("/")
    return Mirror(archive, by_label.get("Debian-Security", f"{archive}-security").rstrip("/"))


def sources(suite: str, mirror: Mirror) -> str:
    """deb822 text for the node's own apt."""
    if suite in UBUNTU_SUITES:
        keyring, components = "/usr/share/keyrings/ubuntu-archive-keyring.gpg", "main universe"
        rows = [(mirror.archive, f"{suite} {suite}-updates {suite}-security")]
    else:
        keyring, components = "/usr/share/keyrings/debian-archive-keyring.gpg", "main"
        rows = [(mirror.archive, f"{suite} {suite}-updates"), (mirror.security, f"{suite}-security")]
    return "\n".join(
        f"Types: deb\nURIs: {uri}\nSuites: {suites}\nComponents: {components}\nSigned-By: {keyring}\n"
        for uri, suites in rows
    )


def apt_settings() -> str:
    """Those settings of this machine's apt that decide whether the mirror answers: proxies and date checks."""
    dump = subprocess.run(["apt-config", "dump"], check=True, capture_output=True, text=True).stdout
    wanted = ("Acquire::http::", "Acquire::https::", "Acquire::Check-Valid-Until ", "Acquire::Check-Date ")
    lines = [line for line in dump.splitlines() if line.startswith(wanted)]
    return "\n".join([*lines, 'Acquire::Languages "none";', 'APT::Install-Recommends "false";', ""])


def recipe(suite: str, mirror: Mirror, public_key: str) -> str:
    """What the base is made of, as a short hash."""
    parts = [Path(__file__).read_text(), suite, sources(suite, mirror), apt_settings(), public_key]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


def bootstrap(suite: str, mirror: Mirror, root: Path) -> None:
    """Run mmdebstrap into ``root``; it configures apt of the node with the very sources it was made from."""
    source_file = root.with_suffix(".sources")
    source_file.write_text(sources(suite, mirror))
    settings_file = root.with_suffix(".apt.conf")
    settings_file.write_text(apt_settings())
    label = f"base file system {suite}, cached for the next time"
    command = [
        str(HEARTBEAT),
        label,
        "mmdebstrap",
        "--quiet",
        "--mode=root",
        "--variant=minbase",
        f"--include={','.join(PACKAGES)}",
    ]
    command += [f"--aptopt={settings_file}"]
    command += [f"--dpkgopt=path-exclude={path}" for path in NO_DOCUMENTATION]
    subprocess.run([*command, suite, str(root), str(source_file)], check=True)
    source_file.unlink()
    settings_file.unlink()


def settle(root: Path, public_key: str) -> None:
    """Turn a bare Debian into the root of a node."""
    etc = root / "etc"
    shutil.copy("/etc/ssl/certs/ca-certificates.crt", etc / "ssl/certs/ca-certificates.crt")
    # with fresh-looking but empty lists, apt's cache_valid_time would skip the first update
    os.utime(root / "var/lib/apt/lists", (0, 0))
    (etc / "machine-id").write_text("")
    ssh = root / "root/.ssh"
    ssh.mkdir(mode=0o700, exist_ok=True)
    (ssh / "authorized_keys").write_text(public_key)
    (ssh / "authorized_keys").chmod(0o600)
    for unit in MASKED:
        link = etc / "systemd/system" / unit
        link.unlink(missing_ok=True)
        link.symlink_to("/dev/null")
    chroot = ["chroot", str(root)]
    # one set of host keys for all nodes: they are one person's toys, and it saves a second per boot
    subprocess.run(
        [*chroot, "sh", "-c", "rm -f /etc/ssh/ssh_host_*; ssh-keygen -A"], check=True, stdout=subprocess.DEVNULL
    )
    # the classic daemon on every release: newer ones would start it by socket
    subprocess.run(
        [*chroot, "sh", "-c", "systemctl disable -q ssh.socket; systemctl enable -q ssh.service"],
        check=True,
        stderr=subprocess.DEVNULL,
    )


def ensure(suite: str, mirror: Mirror, public_key: str, folder: Path) -> Path:
    """The path of the finished base of this suite, made now if there is none of this recipe (1 to 2 minutes)."""
    finished = folder / f"{suite}-{recipe(suite, mirror, public_key)}"
    if finished.exists():
        return finished
    folder.mkdir(parents=True, exist_ok=True)
    work = folder / f"{suite}.tmp"
    shutil.rmtree(work, ignore_errors=True)
    bootstrap(suite, mirror, work)
    settle(work, public_key)
    work.rename(finished)
    return finished


def remove_outdated(folder: Path, current: Path) -> None:
    """Remove bases of older recipes; only while no node runs, since a node may still stand on one of them."""
    for outdated in folder.glob(f"{current.name.partition('-')[0]}-*"):
        if outdated != current:
            shutil.rmtree(outdated)
