# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which ranks may start together, and where the head is seen to be alive; sources in `start_order`."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.supervisor.start_order import StartOrder, start_order
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.files import read_catalog as load
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch import render as rendering
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.render import render

BASE: dict[str, Any] = {
    "deployment": "x",
    "model": "/srv/models/x",
    "served_model_name": "x",
    "nnodes": 2,
    "rank": 0,
    "head_address": "192.0.2.10",
    "rank_address": "192.0.2.10",
    "rank_addresses": ["192.0.2.10", "192.0.2.11"],
    "device": "cuda",
    "host": "0.0.0.0",
    "port": 8000,
    "rendezvous_port": 29500,
}
VLLM = {"engine": "vllm", "engine_version": "0.32.0"}
SGLANG = {"engine": "sglang", "engine_version": "0.5.23"}
LMDEPLOY = {"engine": "lmdeploy", "engine_version": "0.18.0"}


def ordered(**options: Any) -> dict[str, Any]:
    launch = render({**BASE, **options}, load(options["engine"]))
    return dict(launch["start_order"])


@pytest.mark.parametrize(
    ("options", "port"),
    [
        (VLLM | {"tensor_parallel_size": 2}, 29500),
        (VLLM | {"pipeline_parallel_size": 2, "engine_version": "0.11.1"}, 29500),
        (VLLM | {"data_parallel_size": 2}, 29550),
        (VLLM | {"data_parallel_size": 2, "engine_args": {"data_parallel_rpc_port": 13345}}, 13345),
        (VLLM | {"data_parallel_size": 2, "engine_args": {"data-parallel-rpc-port": "13345"}}, 13345),
        (SGLANG | {"tensor_parallel_size": 2}, 29500),
        (
            SGLANG | {"tensor_parallel_size": 2, "data_parallel_size": 2, "engine_args": {"enable_dp_attention": True}},
            29500,
        ),
        (SGLANG | {"tensor_parallel_size": 2, "engine_version": "0.4.3.post2"}, 29500),
    ],
)
def test_ranks_of_engines_that_wait_for_each_other_start_together(options: dict[str, Any], port: int) -> None:
    assert ordered(**options) == {"together": True, "port": port}


@pytest.mark.parametrize("options", [VLLM, LMDEPLOY, {"engine": "ray", "engine_version": "2.60.0"}])
def test_over_ray_one_joins_after_the_other(options: dict[str, Any]) -> None:
    found = ordered(**options, executor="ray", tensor_parallel_size=2)
    assert found == {"together": False, "port": 29500 if options["engine"] == "ray" else 29501}


def test_the_order_is_no_part_of_what_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rank that a version without it has started is current."""
    hashes = set()
    for order in ({}, {"together": True, "port": 1}):
        monkeypatch.setattr(rendering, "start_order", lambda *_unused, order=order: order)
        hashes.add(render({**BASE, **VLLM, "tensor_parallel_size": 2}, load("vllm"))["spec_hash"])
    assert len(hashes) == 1


def test_the_supervisor_reads_the_order_of_the_launch() -> None:
    launch = render({**BASE, **VLLM, "tensor_parallel_size": 2}, load("vllm"))
    assert start_order(launch) == StartOrder(together=True, port=29500)
