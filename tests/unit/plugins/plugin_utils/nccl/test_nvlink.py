# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""NVLink beyond a node, as racks of GB200 and GB300 report it (recordings of nvidia-smi: one cluster UUID, a clique id)."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.env import nccl_env
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.facts import read_node
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.nvlink import clique_of, domain, joined
from nccl_machines import machine

RACK = {"fabric_cluster_uuid": "00000001-0000-0000-0000-000000000001", "fabric_clique_id": 2}
HGX = {"fabric_cluster_uuid": "00000000-0000-0000-0000-000000000000", "fabric_clique_id": 0}


def tray(rank: int, ports: Any = (), channels: Any = ("channel0",), **fabric: Any) -> dict[str, Any]:
    facts = machine(list(ports), rank, gpus=4, capability="10.0", imex_channels=list(channels))
    for gpu in facts["gpus"]:
        gpu |= {"fabric_state": "Completed", "fabric_status": "Success", **RACK, **fabric}
    return facts


def codes(nodes: list[dict[str, Any]], **policy: Any) -> dict[str, str]:
    result = nccl_env({f"n{i}": one for i, one in enumerate(nodes)}, {"nccl_version": "2.27.3", **policy})
    return {f["code"]: f["severity"] for f in result["findings"]}


def test_a_rack_without_rdma_talks_over_nvlink() -> None:
    assert codes([tray(r) for r in range(4)]) == {"nvlink-domain": "info", "no-rdma": "info"}
    assert domain([tray(r) for r in range(4)]) == 16


def test_two_hgx_nodes_are_two_domains() -> None:
    nodes = [tray(r, **HGX) for r in range(2)]
    assert codes(nodes) == {"no-rdma": "warn"}
    assert domain(nodes) == 0


@pytest.mark.parametrize("other", [{"fabric_clique_id": 3}, {"fabric_cluster_uuid": "9-9"}, HGX])
def test_another_clique_or_cluster_is_another_domain(other: dict[str, Any]) -> None:
    nodes = [tray(0), tray(1, **other)]
    assert codes(nodes) == {"nvlink-domains-differ": "warn", "no-rdma": "warn"}
    assert domain(nodes) == 0
    assert not joined([read_node(str(i), n) for i, n in enumerate(nodes)])


def test_the_largest_domain_counts() -> None:
    assert domain([tray(0), tray(1), tray(2, fabric_clique_id=3)]) == 8


@pytest.mark.parametrize(
    ("second", "policy", "expect"),
    [
        ({"channels": ()}, {}, {"imex-channel-missing": "fail", "no-rdma": "warn"}),
        ({"fabric_state": "In Progress"}, {}, {"nvlink-not-joined": "warn", "no-rdma": "warn"}),
        ({}, {"user_env": {"NCCL_MNNVL_ENABLE": 0}}, {"nvlink-off": "warn", "no-rdma": "warn"}),
        ({}, {"user_env": {"NCCL_CUMEM_ENABLE": 0}}, {"nvlink-off": "warn", "no-rdma": "warn"}),
        ({}, {"nccl_version": "2.20.5"}, {"nvlink-old-nccl": "warn", "no-rdma": "warn"}),
    ],
)
def test_what_stands_in_the_way(second: dict[str, Any], policy: dict[str, Any], expect: dict[str, str]) -> None:
    assert codes([tray(0), tray(1, **second)], **policy) == expect


def test_a_card_that_is_in_no_clique_has_none() -> None:
    node = read_node("a", tray(0))
    assert clique_of(node) == "00000001-0000-0000-0000-000000000001/2"
    mixed = tray(0)
    mixed["gpus"][1]["fabric_clique_id"] = 7
    assert clique_of(read_node("a", mixed)) == ""
    assert clique_of(read_node("a", {"gpus": [{"fabric_cluster_uuid": None, "fabric_clique_id": None}]})) == ""
