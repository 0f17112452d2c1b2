# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role rdma finds on the fabric of recorded nodes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import recorded
from ansible_collections.fullrank.serving.plugins.module_utils.node.reader import Host
from ansible_collections.fullrank.serving.plugins.module_utils.rdma import audit as rdma_audit
from ansible_collections.fullrank.serving.plugins.module_utils.rdma import node as rdma_node
from ansible_collections.fullrank.serving.plugins.module_utils.rdma import stack
from places import DATA
from rdma_nodes import ROCKY_RELEASE, recorded_node


@pytest.fixture
def node(tmp_path: Path) -> rdma_node.Node:
    return recorded_node(tmp_path)


def audit(node: rdma_node.Node, root: Path, **options: Any) -> dict[str, str]:
    result = rdma_audit.run(Host(str(root)), node, {"source": "inbox", "modules": [], "announced": False, **options})
    return {one["code"]: one["severity"] for one in result["checks"]}


def test_the_audit_of_a_recorded_node(node: rdma_node.Node, tmp_path: Path) -> None:
    found = audit(replace(node, stack=stack.Installed("inbox", "50"), memlock_manager="infinity"), tmp_path)
    assert (found["stack"], found["ports"], found["memlock"]) == ("pass", "pass", "pass")
    assert found["roce-mtu"] == "warn", "the bond has 1500"
    assert found["roce-qos"] == "skipped", "mlnx_qos is not there"


@pytest.mark.parametrize(
    ("facts", "check"),
    [
        ({"stack": stack.Installed("", "")}, "stack"),
        ({"stack": stack.Installed("doca", "1"), "openibd": "failed enabled"}, "openibd"),
        (
            {
                "stack": stack.Installed("doca", "1"),
                "openibd": "active enabled",
                "module_file": "/lib/modules/k/kernel/mlx5_core.ko",
            },
            "module-origin",
        ),
        ({"stack": stack.Installed("doca", "1"), "openibd": "active enabled"}, "modules"),
    ],
)
def test_a_stack_that_is_not_as_wanted_fails(
    facts: dict[str, Any], check: str, node: rdma_node.Node, tmp_path: Path
) -> None:
    assert audit(replace(node, **facts), tmp_path, source="doca", modules=["mlx5_ib"])[check] == "fail"


def test_nothing_is_reported_of_a_stack_that_is_only_announced(node: rdma_node.Node, tmp_path: Path) -> None:
    bare = replace(node, stack=stack.Installed("", ""), loaded=set())
    found = audit(bare, tmp_path, modules=["mlx5_ib"], announced=True)
    assert (found["stack"], found["ports"], found["roce-mtu"]) == ("skipped", "pass", "warn")
    assert "modules" not in found
    assert audit(bare, tmp_path, modules=["mlx5_ib"])["stack"] == "fail"


def test_mlnx_qos() -> None:
    text = (DATA / "rdma/mlnx_qos-dscp.txt").read_text()
    assert rdma_audit.parse_mlnx_qos(text) == {"trust": "dscp", "pfc": [0, 2, 6, 7]}
    assert rdma_audit.check_qos({"eth0": rdma_audit.parse_mlnx_qos(text)}, ["eth0"])["severity"] == "warn"
    lossless = text.replace("1   0   1   0   0   0   1   1", "0   0   0   1   0   0   0   0")
    assert rdma_audit.parse_mlnx_qos(lossless)["pfc"] == [3]
    assert rdma_audit.check_qos({"eth0": rdma_audit.parse_mlnx_qos(lossless)}, ["eth0"])["severity"] == "pass"
    pcp = lossless.replace("state: dscp", "state: pcp")
    assert rdma_audit.check_qos({"eth0": rdma_audit.parse_mlnx_qos(pcp)}, ["eth0"])["severity"] == "warn"
    assert rdma_audit.parse_mlnx_qos("") == {"trust": "", "pfc": []}


def config_space(control: int) -> bytes:
    """**Built**: a PCI configuration space with power management, then PCI Express with this device control."""
    space = bytearray(256)
    space[6], space[0x34] = 0x10, 0x40
    space[0x40:0x42] = bytes((0x01, 0x60))
    space[0x60:0x62] = bytes((0x10, 0x00))
    space[0x68:0x6A] = control.to_bytes(2, "little")
    return bytes(space)


@pytest.mark.parametrize(("control", "on"), [(0x2810, True), (0x2800, False)])
def test_relaxed_ordering(control: int, on: bool) -> None:
    assert rdma_audit.relaxed_ordering(config_space(control)) is on
    assert rdma_audit.check_relaxed({"mlx5_0": on}, False)["severity"] == ("pass" if on else "warn")


@pytest.mark.parametrize("config", [b"", bytes(64), config_space(0)[:0x62]])
def test_a_configuration_space_that_cannot_be_read(config: bytes) -> None:
    assert rdma_audit.relaxed_ordering(config) is None


def test_the_traffic_class_of_a_card_and_of_the_connection_manager(node: rdma_node.Node, tmp_path: Path) -> None:
    name = node.hcas[0]["name"]
    recorded.write(tmp_path, f"sys/class/infiniband/{name}/tc/1/traffic_class", "Global tclass=106\n")
    recorded.write(tmp_path, f"sys/kernel/config/rdma_cm/{name}/ports/1/default_roce_tos", "96\n")
    found = rdma_audit.run(Host(str(tmp_path)), node, {"source": "inbox", "modules": [], "announced": False})
    assert found["node"]["traffic_class"] == ["Global tclass=106", "connection manager 96"]


def test_a_driver_of_the_kernel_is_mended_in_the_way_of_the_distribution(node: rdma_node.Node, tmp_path: Path) -> None:
    facts = {
        "stack": stack.Installed("doca", "1"),
        "openibd": "active enabled",
        "module_file": "/lib/modules/k/kernel/mlx5_core.ko",
    }
    for release, words in ((node.release, "dkms status"), (ROCKY_RELEASE, "doca-kernel-support")):
        checks = rdma_audit.check_stack(replace(node, release=release, **facts), {"source": "doca"})
        assert [words in one["remedy"] for one in checks if one["code"] == "module-origin"] == [True]
