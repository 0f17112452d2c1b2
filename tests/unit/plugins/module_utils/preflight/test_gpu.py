# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The checks of the GPUs: what is no fault."""

from __future__ import annotations

from pathlib import Path

import preflight_node as node
import recorded
from preflight_faults import without


def test_open_modules_need_no_peermem(root: Path) -> None:
    without("sys/module/nvidia_peermem/version")(root, {})
    recorded.write(
        root,
        "proc/driver/nvidia/version",
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  535.183.01  Release Build",
    )
    assert node.trouble(node.ask(root)) == []


def test_other_gpus_than_ours_may_be_busy(root: Path) -> None:
    node.gpus(root, count=8)
    answer = node.ask(root, gpu_count=0, gpu_indexes=[0, 1, 2, 3])
    assert node.trouble(answer) == []
    assert answer["node"]["gpu_count"] == 4


def test_a_deployment_without_gpus_does_not_mind_busy_ones(root: Path) -> None:
    node.gpus(root, product="h200", fabric="Not Started", used_mib=60000, processes=((99, "python", 59990),))
    assert node.trouble(node.ask(root, gpu_count=0, rdma=False)) == []
