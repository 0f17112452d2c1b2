# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate between Ray and the engine: who is missing, by name, and whether waiting can help."""

from __future__ import annotations

import ast
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.common import payload
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.engines import ray_gate
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.engines.ray_gate import missing

RANKS = ["192.0.2.10", "192.0.2.11"]


def node(address: str, gpus: float | None, alive: bool = True) -> dict[str, Any]:
    """As ray.nodes() gives it; a node without GPUs has no such resource."""
    resources = {"CPU": 16.0} | ({"GPU": gpus} if gpus is not None else {})
    return {"NodeID": address, "Alive": alive, "NodeManagerAddress": address, "Resources": resources}


@pytest.mark.parametrize(
    ("nodes", "text", "may_come"),
    [
        ([node(RANKS[0], 8.0), node(RANKS[1], 8.0)], "", False),
        ([node(RANKS[0], 8.0)], "rank 1 (192.0.2.11) is not in the Ray cluster", True),
        ([], "rank 0 (192.0.2.10), rank 1 (192.0.2.11) is not in the Ray cluster", True),
        # one that was there before and has died
        (
            [node(RANKS[0], 8.0), node(RANKS[1], 8.0, alive=False)],
            "rank 1 (192.0.2.11) is not in the Ray cluster",
            True,
        ),
        (
            [node(RANKS[0], 8.0), node("10.0.0.5", 8.0)],
            "rank 1 (192.0.2.11) is not in the Ray cluster; 10.0.0.5 is in it, and is no rank",
            True,
        ),
        (
            [node(RANKS[0], 8.0), node(RANKS[1], 4.0)],
            "the Ray cluster has 12 GPUs and the engine needs 16: rank 0 (192.0.2.10) has 8, rank 1 (192.0.2.11) has 4",
            False,
        ),
        (
            [node(RANKS[0], 8.0), node(RANKS[1], None)],
            "the Ray cluster has 8 GPUs and the engine needs 16: rank 0 (192.0.2.10) has 8, rank 1 (192.0.2.11) has 0",
            False,
        ),
    ],
)
def test_what_is_missing(nodes: list[dict[str, Any]], text: str, may_come: bool) -> None:
    assert missing(nodes, RANKS, 16) == (text, may_come)


def test_the_gate_is_one_file_for_the_oldest_python_of_a_node() -> None:
    text = payload.text(ray_gate)
    ast.parse(text, feature_version=(3, 9))
    assert "ansible_collections" not in text
