# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian's packages, installed and held by the role, and a kernel module that DKMS built from them.

The module is not loaded, and nvidia-smi does not work here: there is no GPU, and the kernel that runs is not Debian's."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from testinfra.host import Host

PLAYBOOK = "molecule/nvidia_dkms/converge.yml"
MODULES = {f"nvidia-current{part}" for part in ("", "-drm", "-modeset", "-peermem", "-uvm")}


def modules(node: Host) -> list[str]:
    """That DKMS built; the kernel's own nvidia-wmi-ec-backlight is beside them."""
    return node.check_output("find /lib/modules -path '*/updates/dkms/nvidia*.ko*' | sort").split()


def test_dkms_built_the_module_of_the_installed_version(node: Host) -> None:
    version = node.check_output("dpkg-query -W -f='${Version}' nvidia-driver").partition("-")[0]
    # linux-headers-6.12.48+deb13-amd64 → 6.12.48+deb13-amd64
    kernel = node.check_output("ls -d /usr/src/linux-headers-*-amd64 | sort -V | tail -n 1").partition(
        "linux-headers-"
    )[2]
    assert "installed" in node.check_output("dkms status -k %s", kernel)
    built = modules(node)
    assert {path.rpartition("/")[2].partition(".")[0] for path in built} == MODULES, node.check_output("dkms status")
    for path in built:
        assert f"/{kernel}/" in path and node.check_output("modinfo -F version %s", path) == version


def test_everything_of_the_driver_is_held(node: Host) -> None:
    held = set(node.check_output("apt-mark showhold").split())
    rows = node.check_output(
        "dpkg-query -W -f='${db:Status-Abbrev} ${Package} ${Version}\\n' 'nvidia-*' 'libnvidia-*'"
    ).splitlines()
    found = {row.split()[1]: row.split()[2] for row in rows if row[1:2] == "i"}
    version = found["nvidia-driver"]
    assert {name for name, its in found.items() if its == version} <= held
    assert node.file("/etc/apt/sources.list.d/fullrank-debian-components.sources").contains("non-free")


def test_a_second_run_changes_nothing(play: Callable[..., Any]) -> None:
    result = play(PLAYBOOK)
    assert (result.rc, result.changed, result.outcome["reboot_required"]) == (0, 0, True)


def test_remove(node: Host, play: Callable[..., Any]) -> None:
    assert play(PLAYBOOK, tasks_from="remove").rc == 0
    assert modules(node) == []
    assert play(PLAYBOOK, tasks_from="remove").changed == 0


def test_a_module_that_is_not_built_is_explained(node: Host, play: Callable[..., Any]) -> None:
    """Debian's open modules call pci_resize_resource with three arguments, and its present kernels want four (decision 047;
    NVIDIA/open-gpu-kernel-modules issue 1272). Where Debian mends them they are built: that is right, too."""
    before = node.check_output("dpkg -l | grep nvidia || true")
    result = play(PLAYBOOK, limit_s=3600, nvidia_driver_kernel_modules="open")
    if result.rc == 0:
        assert modules(node), "built"
        return
    assert re.search(r"dkms: Bad return status for module build on kernel: \d", result.printed)
    assert re.search(r"nv-pci\.c:\d+:\d+: error: too few arguments to function .pci_resize_resource", result.printed)
    assert "the versions of before are installed and held again" in result.printed
    log = re.search(
        r"All of its log is kept in (/var/log/fullrank/nvidia-current-open-[\d.]+-make\.log)", result.printed
    )
    assert log and "DKMS" in node.file(log[1]).content_string
    assert node.check_output("dpkg -l | grep nvidia || true") == before
    assert modules(node) == []
