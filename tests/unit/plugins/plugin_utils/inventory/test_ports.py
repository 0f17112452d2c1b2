# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each port of a machine is one listener's."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory import ports, shape
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.shape import Deployment


def codes(findings: list[dict[str, str]]) -> list[tuple[str, str]]:
    return [(one["code"], one["where"]) for one in findings]


def found(
    deployments: list[Deployment], variables: dict[str, dict[str, Any]], **around: list[str]
) -> list[dict[str, Any]]:
    served = [ports.Served(one.name, shape.replicas(one, variables)) for one in deployments]
    return ports.check(served, around, variables, shape.named)


def test_two_heads_on_one_machine_need_ports_of_their_own() -> None:
    two = [Deployment("a", ("n1a", "n2")), Deployment("b", ("n1b",))]
    same = {
        "n1a": {
            "ansible_host": "192.0.2.1",
            "engine_port": 8000,
            "engine_rendezvous_port": 29500,
            "engine_gpus": [0, 1],
        },
        "n1b": {
            "ansible_host": "192.0.2.1",
            "engine_port": 8000,
            "engine_rendezvous_port": 29501,
            "engine_gpus": [2, 3],
        },
        "n2": {"ansible_host": "192.0.2.2", "engine_port": 8000, "engine_rendezvous_port": 29500},
    }
    assert codes(found(two, same)) == [("port-used-twice", "engine_port of b")]
    same["n1b"]["engine_port"] = 8001
    assert found(two, same) == []
    same["n1b"]["engine_port"] = "eighty"
    assert found(two, same) == []  # the argument specification refuses it
    same["n1b"] |= {"engine_port": 8001, "engine_group_port": 29600}
    assert codes(found(two, same)) == [("port-used-twice", "engine_group_port of b")]


def test_copies_over_nodes_meet_at_a_port_of_their_own() -> None:
    two = [Deployment("a", ("m1a", "m2a")), Deployment("b", ("m1b", "m2b"))]
    copies = {
        f"m{machine}{name}": {
            "ansible_host": f"192.0.2.{machine}",
            "engine_name": "vllm",
            "engine_port": port,
            "engine_rendezvous_port": port + 1000,
            "engine_data_parallel_size": 2,
        }
        for name, port in (("a", 8000), ("b", 8001))
        for machine in (1, 2)
    }
    assert [(one["code"], one["message"]) for one in found(two, copies)] == [
        ("port-used-twice", "29550 on 192.0.2.1 is also engine_args.data_parallel_rpc_port of a")
    ]
    copies["m1b"]["engine_args"] = {"data-parallel-rpc-port": 29551}
    assert found(two, copies) == []


def test_supervisors_listen_on_every_rank_and_each_replica_has_a_head() -> None:
    two = [Deployment("a", ("n1", "n2")), Deployment("b", ("m1", "m2"))]
    same: dict[str, dict[str, Any]] = {
        host: {"ansible_host": f"192.0.2.{host[1]}", "engine_device": "cpu", "engine_rendezvous_port": port}
        for host, port in (("n1", 29500), ("n2", 29500), ("m1", 29700), ("m2", 29700))
    }
    assert found(two, same) == []
    for host, one in same.items():
        one["engine_port"] = 8000 if host in ("n1", "n2") else 8000 + int(host[1]) - 1
    assert codes(found(two, same)) == [("port-used-twice", "engine_port of b")]  # m1 and n1
    for host in ("m1", "m2"):
        same[host] |= {"engine_port": 8001, "engine_group_port": 29600}
    # reported once for both machines
    assert codes(found(two, same)) == [("port-used-twice", "engine_group_port of b")]


A_RANK = {"ansible_host": "192.0.2.1", "engine_port": 8000, "engine_rendezvous_port": 29500}


@pytest.mark.parametrize(
    ("changes", "around", "where"),
    [
        ({"n1": {"router_port": 8000}}, {"router": ["n1"]}, "router_port of a"),
        ({"n1": {"webui_port": 8080}}, {"router": ["n1"], "webui": ["n1"]}, "webui_port of webui"),
        (
            {"n1": {"webui_port": 3000, "webui_tls": True, "webui_tls_port": 8000}},
            {"webui": ["n1"]},
            "webui_tls_port of webui",
        ),
        (
            {"n1": {"monitoring_prometheus_port": 8000}},
            {"monitoring": ["n1"]},
            "monitoring_prometheus_port of monitoring",
        ),
        ({"n1": {"engine_port": 9100}}, {"monitoring": ["n1"]}, "monitoring_node_exporter of monitoring"),
        (
            {"n1": {"engine_port": 9400}},
            {"monitoring": ["m"], "gpu_nodes": ["n1"]},
            "monitoring_gpu_exporter of monitoring",
        ),
        ({"n1": {"engine_port": 22}}, {}, "engine_port of a"),
        ({"n1": {"engine_port": 2222, "ansible_port": 2222}}, {}, "engine_port of a"),
        ({"n1": {"engine_port": 29500}}, {}, "engine_rendezvous_port of a"),
    ],
)
def test_what_stands_around_deployments_listens_too(
    changes: dict[str, Any], around: dict[str, list[str]], where: str
) -> None:
    variables = {"n1": {**A_RANK, **changes["n1"]}}
    assert codes(found([Deployment("a", ("n1",))], variables, **around)) == [("port-used-twice", where)]


@pytest.mark.parametrize(
    "around", [{}, {"router": ["r"], "webui": ["w"], "monitoring": ["m"]}, {"gpu_nodes": ["n1"]}, {"router": ["n1"]}]
)
def test_machines_of_their_own_share_no_port(around: dict[str, list[str]]) -> None:
    variables = {"n1": A_RANK, "w": {"webui_port": 8080}, "m": {"monitoring_prometheus_port": 9090}}
    assert found([Deployment("a", ("n1",))], variables, **around) == []


def test_a_computed_port_that_there_is_not() -> None:
    (one,) = found([Deployment("a", ("n1",))], {"n1": {**A_RANK, "engine_rendezvous_port": 65500}})
    assert (one["code"], one["where"]) == ("port-out-of-range", "engine_rendezvous_port of a")
    assert found([Deployment("a", ("n1",))], {"n1": {**A_RANK, "engine_rendezvous_port": 65435}}) == []
