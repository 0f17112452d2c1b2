# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A recorded node for the tests of the role rdma."""

from __future__ import annotations

from pathlib import Path

import recorded
from ansible_collections.fullrank.serving.plugins.module_utils.node.reader import Host
from ansible_collections.fullrank.serving.plugins.module_utils.rdma import node

KERNEL = "5.15.0-130-generic"
DRIVER = "NVRM version: NVIDIA UNIX {}x86_64 Kernel Module  570.86.15  Thu Jan 9\n"
UBUNTU = "ID=ubuntu\nID_LIKE=debian\nVERSION_ID=24.04\n"
ROCKY = 'ID=rocky\nID_LIKE="rhel centos fedora"\nVERSION_ID=9.5\n'
ROCKY_RELEASE = dict(line.replace('"', "").split("=") for line in ROCKY.splitlines())


def recorded_node(root: Path) -> node.Node:
    """A recorded RoCE node with the headers of its kernel, on Ubuntu, without any RDMA software."""
    recorded.unpack("a100-roce", root)
    for path, text in (
        ("etc/os-release", UBUNTU),
        ("proc/sys/kernel/osrelease", KERNEL),
        (f"lib/modules/{KERNEL}/modules.dep", ""),
        (f"lib/modules/{KERNEL}/build/Makefile", ""),
        ("proc/driver/nvidia/version", DRIVER.format("")),
        ("proc/1/limits", "Max locked memory         unlimited            unlimited            bytes\n"),
    ):
        recorded.write(root, path, text)
    recorded.command(root, "uname -m", "x86_64\n")
    host = Host(str(root))
    return node.collect(host, host)
