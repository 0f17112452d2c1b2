# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Members of bonds that have no GIDs of their own: case 4."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.bonds import inactive
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.env import nccl_env
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.facts import read_node
from nccl_machines import machine


def bonded(rank: int = 0, **bond: Any) -> dict[str, Any]:
    """Two rails and a bond of two more, of which the first is active: it alone has the bond's GIDs."""
    facts = machine(
        [{"hca": "mlx5_0..mlx5_2", "rate": 200}, {"hca": "mlx5_3", "rate": 200, "no_address": True}], rank, gpus=2
    )
    for netdev in facts["netdevs"]:
        if netdev["name"] in ("rdma2", "rdma3"):
            netdev |= {"master": "bond0", "addresses": []}
    facts["netdevs"].append(
        {"name": "bond0", "kind": "bond", "lower": ["rdma2", "rdma3"], "addresses": ["10.3.0.1/24"], **bond}
    )
    return facts


@pytest.mark.parametrize("bond", [{}, {"bond_mode": "active-backup", "active_slave": "rdma2"}])
def test_the_waiting_member_is_left_out(bond: dict[str, Any]) -> None:
    result = nccl_env({"a": bonded(0, **bond), "b": bonded(1, **bond)}, {"nccl_version": "2.27.3"})
    assert result["ranks"]["a"]["env"]["NCCL_IB_HCA"] == "=mlx5_0,mlx5_1,mlx5_2"
    found = {f["code"]: f for f in result["findings"]}
    assert "gid-missing" not in found
    assert "mlx5_3:1 left out: bond0" in found["bond-member-waits"]["message"]
    assert "200 Gbit/s" in found["bond-member-waits"]["message"]


def test_the_facts_of_the_bond_win_over_the_guess() -> None:
    node = read_node("a", bonded(bond_mode="active-backup", active_slave="rdma3"))
    assert inactive(node, node.ports) == {"mlx5_2:1": "bond0"}


def test_one_device_for_both_members_is_no_case() -> None:
    facts = machine([{"hca": "mlx5_bond_0", "rate": 200}])
    facts["hcas"][0]["netdevs"] = ["rdma0", "rdma1"]
    facts["netdevs"] += [
        {"name": "rdma1", "master": "bond0"},
        {"name": "bond0", "kind": "bond", "bond_mode": "active-backup", "active_slave": "rdma0"},
    ]
    facts["netdevs"][1]["master"] = "bond0"
    node = read_node("a", facts)
    assert inactive(node, node.ports) == {}


def test_a_bond_whose_members_all_have_gids_stays() -> None:
    facts = machine([{"hca": "mlx5_0..mlx5_1", "rate": 200}])
    for netdev in facts["netdevs"][1:]:
        netdev["master"] = "bond0"
    facts["netdevs"].append({"name": "bond0", "kind": "bond", "bond_mode": "balance-xor"})
    node = read_node("a", facts)
    assert inactive(node, node.ports) == {}
