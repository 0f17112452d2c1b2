"""Debian's packages, installed and held by the role, and a kernel module that DKMS built from them.

The module is not loaded, and nvidia-smi does not work here: there is no GPU, and the kernel that runs is not Debian's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from testinfra.host import Host

ROLE = "molecule/nvidia_dkms/converge.yml"


@pytest.fixture
def node(nodes: dict[str, Host]) -> Host:
    return nodes["n1"]


def test_dkms_built_the_module_of_the_installed_version(node: Host) -> None:
    version = node.check_output("dpkg-query -W -f='${Version}' nvidia-driver").partition("-")[0]
    # linux-headers-6.12.48+deb13-amd64 → 6.12.48+deb13-amd64
    kernel = node.check_output("ls -d /usr/src/linux-headers-*-amd64 | sort -V | tail -n 1").partition(
        "linux-headers-"
    )[2]
    assert "installed" in node.check_output("dkms status -k %s", kernel)
    module = node.check_output("find /lib/modules/%s -name 'nvidia*.ko*' | sort | head -n 1", kernel)
    assert module, node.check_output("dkms status")
    assert version in node.check_output("modinfo -F version %s", module)


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
    result = play(ROLE)
    assert (result.rc, result.changed, result.outcome["reboot_required"]) == (0, 0, True)


def test_remove(node: Host, play: Callable[..., Any]) -> None:
    assert play(ROLE, tasks_from="remove").rc == 0
    assert node.check_output("find /lib/modules -name 'nvidia*.ko*'") == ""
    assert play(ROLE, tasks_from="remove").changed == 0
