# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No port is used that is farther or slower than one that was left out without a finding that names it."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.distance import ORDER, gpu_distances
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.env import nccl_env
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.facts import Node, Port, read_node
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.lists import parse_names
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.lost import lost_findings
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.select import select_ports
from hypothesis import given, settings
from hypothesis import strategies as st
from nccl_machines import machine

PORTS = st.lists(
    st.fixed_dictionaries(
        {
            "hca": st.integers(0, 30).map("mlx5_{}".format),
            "rate": st.sampled_from([10, 25, 40, 50, 100, 200, 400, 800]),
        },
        optional={
            "layer": st.sampled_from(["Ethernet", "InfiniBand", "Unspecified"]),
            "gpu": st.integers(0, 7),
            "state": st.sampled_from(["ACTIVE", "ACTIVE", "ACTIVE", "DOWN"]),
            "default_route": st.booleans(),
            "vf": st.booleans(),
            "no_pci": st.booleans(),
        },
    ),
    max_size=12,
    unique_by=lambda p: p["hca"],
)
POLICIES = st.fixed_dictionaries(
    {},
    optional={
        "exclude_hcas": st.lists(st.integers(0, 30).map("mlx5_{}".format), max_size=2),
        "include_hcas": st.lists(st.integers(0, 30).map("mlx5_{}".format), min_size=1, max_size=3),
        "user_env": st.lists(st.integers(0, 30).map("mlx5_{}".format), min_size=1, max_size=4).map(
            lambda names: {"NCCL_IB_HCA": "=" + ",".join(names)}
        ),
    },
)


def ranks(node: Node, port: Port) -> list[int]:
    return [] if node.virtual_machine else [ORDER.index(d) for d in gpu_distances(node, port.hca)]


def better(node: Node, left: Port, used: Port) -> bool:
    """By the words of the rule: faster, or nearer to the GPU that it is nearest to."""
    mine, theirs = ranks(node, left), ranks(node, used)
    nearer = bool(mine) and bool(theirs) and min(mine) < min(theirs)
    return left.rate_gbps > used.rate_gbps or nearer


@settings(max_examples=250, deadline=None)
@given(
    ports=PORTS,
    policy=POLICIES,
    gpus=st.integers(0, 8),
    guest=st.booleans(),
    rail=st.sampled_from(["eth0", "rdma0", "rdma1"]),
)
def test_no_better_port_is_left_out_in_silence(
    ports: list[dict[str, Any]], policy: dict[str, Any], gpus: int, guest: bool, rail: str
) -> None:
    place = {"interface": rail, "address": "192.168.5.4"}
    facts = machine(ports, gpus=gpus, virtual_machine=guest, rendezvous=place)
    result = nccl_env({"a": facts}, policy)
    node, env = read_node("a", facts), result["ranks"]["a"]["env"]
    if "NCCL_IB_HCA" not in env:
        return
    names = parse_names(env["NCCL_IB_HCA"])
    known = {p.label: p for p in node.ports if p.link_layer in ("Ethernet", "InfiniBand")}
    usable = {p.label for p in known.values() if p.state == "ACTIVE" and p.phys_state == "LINKUP"}
    used = [p for p in known.values() if p.label in usable and names.takes(p.hca.name, p.number)]
    reported = " ".join(f["message"] for f in result["findings"])
    for port in known.values():
        if port not in used and any(better(node, port, one) for one in used):
            assert port.label in reported


def test_the_loss_is_a_number() -> None:
    node = read_node("a", machine([{"hca": "mlx5_0..mlx5_3", "rate": 200}, {"hca": "mlx5_4..mlx5_6", "rate": 400}]))
    chosen = select_ports(node)
    assert {p.rate_gbps for p in chosen.ports} == {400}
    node = read_node("a", machine([{"hca": "mlx5_0..mlx5_7", "rate": 200}, {"hca": "mlx5_8", "rate": 400}]))
    (found,) = lost_findings(node, select_ports(node))
    assert (found["code"], found["severity"]) == ("port-left-out", "warn")
    assert "400 of 2000 Gbit/s" in found["message"]
    assert [f["severity"] for f in lost_findings(node, select_ports(node), alone=True)] == ["info"]


@pytest.mark.parametrize("gpus", [0, 8])
def test_nothing_is_reported_where_nothing_is_left_out(gpus: int) -> None:
    node = read_node("a", machine([{"hca": "mlx5_0..mlx5_7", "rate": 400, "gpu_from": 0}], gpus=gpus))
    assert lost_findings(node, select_ports(node)) == []
    assert lost_findings(read_node("a", machine([])), select_ports(read_node("a", machine([])))) == []
