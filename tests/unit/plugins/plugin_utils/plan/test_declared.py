# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A plan from what is declared is what starts: the same functions, the same environment, the same command."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.files import read_catalog
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.render import render
from ansible_collections.fullrank.serving.plugins.plugin_utils.plan.decide import Deployed, decide
from ansible_collections.fullrank.serving.plugins.plugin_utils.plan.declared import (
    declared_facts,
    declared_rdma,
    declares_fabric,
)
from nccl_machines import machine

HOSTS = ["n1", "n2"]
HARDWARE = {
    "gpu": "NVIDIA H100 80GB HBM3",
    "gpus_per_node": 8,
    "compute_capability": "9.0",
    "interface": "eth0",
    "hcas": [f"mlx5_{i}" for i in range(8)],
    "rate_gbps": 400,
}


def deployed(seen: list[dict[str, Any]], hardware: dict[str, Any], **changes: Any) -> Deployed:
    places = [{"interface": hardware.get("interface", "eth0"), "address": f"192.168.5.{rank + 4}"} for rank in range(2)]
    values: dict[str, Any] = {
        "hosts": HOSTS,
        "rendezvous": places,
        "gpu_facts": [{"gpus": one["gpus"]} if one else {} for one in seen],
        "rdma_facts": [{"hcas": one["hcas"], "netdevs": one["netdevs"]} if one else {} for one in seen],
        "engine": "vllm",
        "engine_version": "0.20.2",
        "nccl": {"nccl_version": "2.27.3"},
        "hardware": hardware,
        "tensor_parallel_size": 16,
    }
    return Deployed(**{**values, **changes})


def command(decided: dict[str, Any], rank: int) -> str:
    options = {
        "engine": "vllm",
        "engine_version": "0.20.2",
        "deployment": "d",
        "rank": rank,
        "nnodes": 2,
        "rank_address": f"192.168.5.{rank + 4}",
        "interface": "eth0",
        "head_address": "192.168.5.4",
        "rendezvous_port": 25000,
        "model": "/m",
        "runtime": "docker",
        "image": "vllm/vllm-openai:v0.20.2",
        "tensor_parallel_size": 16,
        "gpus_per_node": 8,
        "env": decided["nccl"]["ranks"][HOSTS[rank]]["env"],
        "rdma": decided["rdma"][HOSTS[rank]],
    }
    return str(render(options, read_catalog("vllm"))["lines"]["docker"])


@pytest.mark.parametrize("layer", ["InfiniBand", "Ethernet"])
def test_what_the_plan_shows_is_what_starts(layer: str) -> None:
    ports = [{"hca": "mlx5_0..mlx5_7", "rate": 400, "layer": layer, "gpu_from": 0}]
    planned = decide(deployed([{}, {}], {**HARDWARE, "link_layer": layer}, planning=True))
    started = decide(deployed([machine(ports, rank) for rank in range(2)], HARDWARE))
    for rank, host in enumerate(HOSTS):
        assert planned["nccl"]["ranks"][host]["env"] == started["nccl"]["ranks"][host]["env"]
        assert planned["nccl"]["ranks"][host]["env"]["NCCL_IB_HCA"] == "=" + ",".join(HARDWARE["hcas"])
        assert command(planned, rank) == command(started, rank)
        assert "--device /dev/infiniband" in command(planned, rank)
    assert planned["rdma"] == started["rdma"] == dict.fromkeys(HOSTS, True)


def test_a_start_never_takes_what_is_declared_for_what_is_there() -> None:
    decided = decide(deployed([{}, {}], HARDWARE))
    assert (decided["nccl"], decided["rdma"]) == ({}, dict.fromkeys(HOSTS, False))


def test_without_names_the_devices_are_open_and_nothing_fails() -> None:
    decided = decide(deployed([{}, {}], {"gpu": "H100", "gpus_per_node": 8, "rdma": True}, planning=True))
    rank = decided["nccl"]["ranks"]["n1"]
    assert {"NCCL_IB_HCA", "NCCL_SOCKET_IFNAME"} <= rank["unset"].keys()
    assert "NCCL_IB_DISABLE" not in rank["env"]
    assert decided["rdma"] == dict.fromkeys(HOSTS, True)
    codes = [f["code"] for f in decided["findings"]]
    assert codes.count("fabric-undeclared") == 1 and "facts-missing" not in codes
    assert "fail" not in {f["severity"] for f in decided["findings"]}


def test_no_rdma_declared_is_sockets() -> None:
    decided = decide(deployed([{}, {}], {"gpu": "H100", "rdma": False, "interface": "eth0"}, planning=True))
    assert decided["nccl"]["ranks"]["n1"]["env"]["NCCL_IB_DISABLE"] == "1"
    assert "no-rdma" in {f["code"] for f in decided["findings"]}


def test_one_node_that_answers_and_one_that_does_not() -> None:
    ports = [{"hca": "mlx5_0..mlx5_7", "rate": 400, "layer": "InfiniBand", "gpu_from": 0}]
    decided = decide(deployed([machine(ports, 0), {}], HARDWARE, planning=True))
    envs = [decided["nccl"]["ranks"][host]["env"] for host in HOSTS]
    assert envs[0]["NCCL_IB_HCA"] == envs[1]["NCCL_IB_HCA"]


def test_a_declared_rack() -> None:
    rack = {"gpu": "GB200", "gpus_per_node": 4, "nvlink_domain": 72, "interface": "eth0", "rdma": False}
    codes = {f["code"]: f["severity"] for f in decide(deployed([{}, {}], rack, planning=True))["findings"]}
    assert (codes["nvlink-domain"], codes["no-rdma"]) == ("info", "info")


def test_an_older_nccl_waits_for_the_gid_tables() -> None:
    roce = {**HARDWARE, "link_layer": "RoCE"}
    decided = decide(deployed([{}, {}], roce, planning=True, nccl={"nccl_version": "2.18.3"}))
    assert decided["nccl"]["ranks"]["n1"]["unset"]["NCCL_IB_GID_INDEX"].startswith("read from the node")


def test_nothing_declared_is_no_fabric() -> None:
    assert not declares_fabric({"gpu": "H100", "gpus_per_node": 8})
    assert not declared_rdma({}) and declared_rdma({"rdma": True}) and declared_rdma({"hcas": ["mlx5_0"]})
    assert declared_facts({"gpus_per_node": "8"}, "")["gpus"] == []
    assert decide(deployed([{}, {}], {"gpu": "H100"}, planning=True))["nccl"] == {}
