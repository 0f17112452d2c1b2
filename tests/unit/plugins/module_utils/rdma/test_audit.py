# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role rdma finds on the fabric of recorded nodes, and what it measures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import recorded
from ansible_collections.fullrank.serving.plugins.module_utils.node.reader import Host
from ansible_collections.fullrank.serving.plugins.module_utils.rdma import audit as rdma_audit
from ansible_collections.fullrank.serving.plugins.module_utils.rdma import bandwidth, perftest, stack
from ansible_collections.fullrank.serving.plugins.module_utils.rdma import node as rdma_node
from ansible_collections.fullrank.serving.plugins.plugin_utils.report.rdma import report
from places import DATA
from rdma_nodes import ROCKY_RELEASE, recorded_node

DATA = DATA / "rdma"


@pytest.fixture
def node(tmp_path: Path) -> rdma_node.Node:
    return recorded_node(tmp_path)


# --- the audit ---


def audit(node: rdma_node.Node, root: Path, **options: Any) -> dict[str, str]:
    result = rdma_audit.run(Host(str(root)), node, {"source": "inbox", "modules": [], "announced": False, **options})
    return {one["id"]: one["status"] for one in result["checks"]}


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


def test_nothing_is_said_of_a_stack_that_is_only_announced(node: rdma_node.Node, tmp_path: Path) -> None:
    bare = replace(node, stack=stack.Installed("", ""), loaded=set())
    found = audit(bare, tmp_path, modules=["mlx5_ib"], announced=True)
    assert (found["stack"], found["ports"], found["roce-mtu"]) == ("skipped", "pass", "warn")
    assert "modules" not in found
    assert audit(bare, tmp_path, modules=["mlx5_ib"])["stack"] == "fail"


def test_mlnx_qos() -> None:
    text = (DATA / "mlnx_qos-dscp.txt").read_text()
    assert rdma_audit.parse_mlnx_qos(text) == {"trust": "dscp", "pfc": [0, 2, 6, 7]}
    assert rdma_audit.check_qos({"eth0": rdma_audit.parse_mlnx_qos(text)}, ["eth0"])["status"] == "warn"
    lossless = text.replace("1   0   1   0   0   0   1   1", "0   0   0   1   0   0   0   0")
    assert rdma_audit.parse_mlnx_qos(lossless)["pfc"] == [3]
    assert rdma_audit.check_qos({"eth0": rdma_audit.parse_mlnx_qos(lossless)}, ["eth0"])["status"] == "pass"
    pcp = lossless.replace("state: dscp", "state: pcp")
    assert rdma_audit.check_qos({"eth0": rdma_audit.parse_mlnx_qos(pcp)}, ["eth0"])["status"] == "warn"
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
    assert rdma_audit.check_relaxed({"mlx5_0": on}, False)["status"] == ("pass" if on else "warn")


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
        assert [words in one["remedy"] for one in checks if one["id"] == "module-origin"] == [True]


def test_nodes_are_compared(node: rdma_node.Node, tmp_path: Path) -> None:
    one = rdma_audit.run(Host(str(tmp_path)), node, {"source": "inbox", "modules": [], "announced": False})
    assert not [x for x in report({"a": one, "b": one, "c": {}})["findings"] if x["code"].endswith("-equal")]
    other = {**one, "node": {**one["node"], "roce_mtu": ["1500"], "traffic_class": ["Global tclass=106"]}}
    third = {**one, "node": {**one["node"], "traffic_class": ["Global tclass=0"]}}
    found = {x["code"]: x for x in report({"a": other, "b": third})["findings"]}
    assert found["roce-mtu-equal"]["severity"] == "fail"
    assert report({"a": {**one, "reboot_required": "x"}, "b": one})["reboot_required"] == {"a": "x"}
    assert "Global tclass=106 on a" in found["traffic-class-equal"]["message"]


# --- bandwidth ---


@pytest.mark.parametrize(("name", "gbps"), [("sizes", 0.17), ("one", 0.48)])
def test_ib_write_bw_in_gigabits(name: str, gbps: float) -> None:
    assert perftest.parse((DATA / f"ib_write_bw-{name}-gbits.txt").read_text()) == gbps


def test_ib_write_bw_in_megabytes_and_without_result() -> None:
    text = (DATA / "ib_write_bw-one-gbits.txt").read_text().replace("Gb/sec", "MB/sec").replace("0.48 ", "11728.47 ")
    assert perftest.parse(text) == pytest.approx(98.38, abs=0.01)
    assert perftest.parse("Couldn't connect to 10.0.0.1:18515\n") is None


def test_ports_below_their_share_are_named() -> None:
    ports = [{"device": f"mlx5_{n}", "port": 1, "gbps": 0.5} for n in range(3)]
    slow = (DATA / "ib_write_bw-sizes-gbits.txt").read_text()
    good = (DATA / "ib_write_bw-one-gbits.txt").read_text()
    reached, wrong = bandwidth.judge(ports, [good, slow, "Couldn't connect\n"], 0.8, "10.0.0.2")
    assert reached == {"mlx5_0:1": 0.48, "mlx5_1:1": 0.17}
    assert wrong == [
        "mlx5_1:1 to 10.0.0.2: 0.2 Gbit/s, less than 80% of its rate of 0.5",
        "mlx5_2:1 to 10.0.0.2: no result: Couldn't connect",
    ]


def test_both_ends_are_started_with_the_same_words() -> None:
    server = perftest.command("mlx5_0", 1, 18515, 5)
    assert perftest.command("mlx5_0", 1, 18515, 5, "10.0.0.2") == [*server, "10.0.0.2"]


def test_a_ring_of_one_measures_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in that prints the recorded table in the place of ib_write_bw: servers end, clients are tried again until then."""
    tool = tmp_path / "ib_write_bw"
    table = DATA / "ib_write_bw-one-gbits.txt"
    tool.write_text(
        f'#!/bin/sh\ncase "$*" in *10.0.0.2) [ -e {tmp_path}/up ] || {{ touch {tmp_path}/up; exit 1; }}; cat {table};; esac\n'
    )
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    ports = [{"device": "mlx5_0", "port": 1, "gbps": 0.5}]
    given = {
        "ports": ports,
        "peer": "10.0.0.2",
        "peer_ports": 1,
        "tcp_port": 1,
        "seconds": 1,
        "timeout": 30,
        "min_share": 0.8,
    }
    assert bandwidth.measure(given) == ({"mlx5_0:1": 0.48}, [])
