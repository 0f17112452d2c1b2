# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What DeepEP and NVL72 racks need of node and container, as far as the node was asked."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.files import read_catalog
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch import deepep
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.render import render

BASE: dict[str, Any] = {
    "engine": "sglang",
    "engine_version": "0.5.12",
    "nnodes": 2,
    "head_address": "192.0.2.10",
    "rank_address": "192.0.2.10",
    "interface": "eth0",
    "model": "/srv/models/m",
    "served_model_name": "m",
    "tensor_parallel_size": 16,
    "gpus_per_node": 8,
    "api_key": "sk-0123456789",
    "engine_args": {"moe_a2a_backend": "deepep"},
}
IN_DOCKER = {"runtime": "docker", "image": "engine:1", "rdma": True}
READY = {"gdrdrv": False, "driver_options": True}
BARE = {"gdrdrv": False, "driver_options": False}


def launch(**changes: Any) -> dict[str, Any]:
    return render(BASE | changes, read_catalog("sglang"))


def codes(**changes: Any) -> set[str]:
    return {one["code"] for one in launch(**changes)["findings"] if one["code"].startswith(("deepep-", "no-imex"))}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, set()),
        ({"hardware": {"ibgda": READY}}, set()),
        ({"hardware": {"ibgda": BARE}}, {"deepep-host-options"}),
        ({"hardware": {"ibgda": BARE | {"gdrdrv": True}}}, set()),
        ({"hardware": {"ibgda": BARE}, "engine_args": {}}, set()),
        ({"hardware": {"ibgda": BARE}, "nnodes": 1, "tensor_parallel_size": 8}, set()),
        (IN_DOCKER | {"hardware": {"ibgda": READY}}, set()),
        (IN_DOCKER | {"hardware": {"ibgda": READY}, "rdma": False}, {"deepep-without-rdma"}),
        (IN_DOCKER | {"rdma": False}, set()),
        (IN_DOCKER | {"hardware": {"gpu": "NVIDIA GB200", "ibgda": READY}}, {"deepep-unprivileged"}),
        ({"hardware": {"gpu": "NVIDIA GB200", "imex_channels": []}}, {"no-imex-channel"}),
        ({"hardware": {"gpu": "NVIDIA GB200", "imex_channels": ["channel0"]}}, set()),
        ({"hardware": {"gpu": "NVIDIA GB200"}}, set()),
        ({"hardware": {"gpu": "NVIDIA B200", "imex_channels": []}}, set()),
    ],
)
def test_findings(changes: dict[str, Any], expected: set[str]) -> None:
    assert codes(**changes) == expected


def test_a_container_gets_channels_and_gdrcopy() -> None:
    hardware = {"imex_channels": ["channel0", "channel1"], "ibgda": BARE | {"gdrdrv": True}}
    plain = ["nvidia.com/gpu=all", "/dev/infiniband"]
    channels = [f"/dev/nvidia-caps-imex-channels/channel{number}" for number in (0, 1)]
    assert launch(**IN_DOCKER)["container"]["devices"] == plain
    assert launch(**IN_DOCKER, hardware=hardware)["container"]["devices"] == [*plain, *channels, "/dev/gdrdrv"]
    assert "/dev/gdrdrv" not in launch(**IN_DOCKER | {"rdma": False}, hardware=hardware)["container"]["devices"]


def test_the_remedy_has_both_options_of_the_driver() -> None:
    (found,) = [one for one in launch(hardware={"ibgda": BARE})["findings"] if one["code"] == "deepep-host-options"]
    assert deepep.OPTIONS in found["remedy"]
    assert found["where"] == "engine_args.moe_a2a_backend"
