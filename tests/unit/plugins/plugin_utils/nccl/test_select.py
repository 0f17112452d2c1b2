# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which ports are chosen, and what is reported about the others: machines of public reports."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.env import nccl_env
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.facts import read_node
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.select import (
    dropped_text,
    hca_list,
    pinned_ports,
    select_ports,
)
from nccl_machines import machine
from places import DATA

ROWS = yaml.safe_load((DATA / "nccl/reports.yml").read_text())


def nodes_of(row: dict[str, Any]) -> dict[str, Any]:
    topology = row.get("topology", {})
    ports = row.get("ports") or [{"hca": name, "rate": 200} for name in topology]
    extra = dict(row.get("facts", {}))
    if topology:
        gpus = range(len(next(iter(topology.values()))))
        extra["topology"] = {"links": {f"GPU{i}": {nic: to[i] for nic, to in topology.items()} for i in gpus}}
    nodes = {f"node{r + 1}": machine(ports, r, gpus=row.get("gpus", 8), **extra) for r in range(2)}
    place = nodes["node1"]["rendezvous"]
    nodes["node2"]["rendezvous"] = {**place, "address": place["address"].rpartition(".")[0] + ".250"}
    for netdev in nodes["node2"]["netdevs"]:
        if netdev["name"] in row.get("move_second", {}):
            netdev["addresses"] = [row["move_second"][netdev["name"]]]
    return nodes


@pytest.mark.parametrize("row", ROWS, ids=lambda r: r["id"])
def test_reported_machine(row: dict[str, Any]) -> None:
    result = nccl_env(nodes_of(row), {"nccl_version": "2.27.3", **row.get("policy", {})})
    env = result["ranks"]["node1"]["env"]
    if "expect_hca" in row:
        assert sorted(env["NCCL_IB_HCA"].removeprefix("=").split(",")) == sorted(row["expect_hca"])
    assert {k: env.get(k) for k in row.get("expect", {})} == row.get("expect", {})
    found = [f for f in result["findings"] if f["where"].startswith(("node1", "node2.net", "policy"))]
    severities = {f["code"]: f["severity"] for f in found}
    assert {code: severities.get(code) for code in row.get("codes", {})} == row.get("codes", {})
    assert not severities.keys() & set(row.get("without", []))
    texts = " ".join(f"{f['message']}; {f['remedy']}" for f in found)
    assert [words for words in row.get("texts", []) if words not in texts] == []
    if "fail" not in row.get("codes", {}).values():
        assert [f for f in found if f["severity"] == "fail"] == []


def test_every_node_has_its_finding_which_gpu_has_no_rail() -> None:
    row = next(r for r in ROWS if r["id"] == "same-rail-down-on-all-nodes")
    found = nccl_env(nodes_of(row), {"nccl_version": "2.27.3"})["findings"]
    assert [f["where"] for f in found if f["code"] == "gpu-without-rail"] == ["node1.hcas", "node2.hcas"]


def test_a_pinned_list_is_read_as_nccl_reads_it() -> None:
    node = read_node("a", machine([{"hca": "mlx5_0..mlx5_11", "rate": 200}]))
    assert [p.hca.name for p in pinned_ports(node, "mlx5_1").ports] == ["mlx5_1", "mlx5_10", "mlx5_11"]
    assert [p.hca.name for p in pinned_ports(node, "=mlx5_1").ports] == ["mlx5_1"]
    assert "mlx5_1" not in [p.hca.name for p in pinned_ports(node, "^=mlx5_1").ports]
    assert len(pinned_ports(node, "").ports) == 12
    assert pinned_ports(node, "=mlx5_1:2").ports == []


def test_a_pinned_list_of_two_kinds_is_reported() -> None:
    node = read_node("a", machine([{"hca": "mlx5_0", "rate": 200}, {"hca": "mlx5_1", "rate": 100}]))
    assert [f["code"] for f in pinned_ports(node, "mlx5_0,mlx5_1").findings] == ["rails-mixed"]


def test_what_was_left_out_stands_with_its_reason() -> None:
    node = read_node("a", machine([{"hca": "mlx5_0..mlx5_1", "rate": 200}, {"hca": "mlx5_2", "rate": 10}]))
    chosen = select_ports(node)
    assert hca_list(chosen, node) == "=mlx5_0,mlx5_1"
    assert dropped_text(chosen).startswith("without mlx5_2:1: far slower")
    assert [p.label for p in chosen.left] == ["mlx5_2:1"]
