# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which ranks of a replica serve and where they meet, and what follows from it: endpoints, upstreams, ports."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory import endpoints, ports
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.router_routes import Router, routes
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.serving import meeting, serving

HOSTS = ["n1", "n2", "n3", "n4"]
WIDE = {"engine_name": "vllm", "engine_version": "0.32.0", "engine_data_parallel_size": 8}
EXTERNAL = {**WIDE, "engine_data_parallel_size": 4, "engine_args": {"data_parallel_external_lb": True}}
HYBRID = {**WIDE, "engine_args": {"data-parallel-hybrid-lb": True}}


def variables(head: dict[str, Any], **others: Any) -> dict[str, dict[str, Any]]:
    return {
        host: {"ansible_host": f"192.0.2.{number}", "engine_port": 8000, **head, **others}
        for number, host in enumerate(HOSTS, 1)
    }


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        ({}, ["n1"]),
        (WIDE, ["n1"]),
        (HYBRID, HOSTS),
        ({**HYBRID, "engine_args": {"-dph": True}}, HOSTS),
        (EXTERNAL, HOSTS),
        ({**EXTERNAL, "engine_data_parallel_size": "2"}, ["n1", "n3"]),
        ({**HYBRID, "engine_executor": "ray"}, ["n1"]),
        ({**HYBRID, "engine_name": "sglang"}, ["n1"]),
        ({**HYBRID, "engine_data_parallel_size": 1}, ["n1"]),
        ({**HYBRID, "engine_data_parallel_size": "many", "engine_args": "none"}, ["n1"]),
        ({**HYBRID, "engine_args": None}, ["n1"]),
    ],
)
def test_which_ranks_serve(head: dict[str, Any], expected: list[str]) -> None:
    assert serving(HOSTS, {"n1": head}) == expected
    assert serving(["n1"], {"n1": head}) == ["n1"]


def test_a_copy_over_several_nodes_meets_at_its_first() -> None:
    assert meeting(HOSTS, {**WIDE, "engine_data_parallel_size": 2}) == ["n1", "n3"]
    assert meeting(HOSTS, WIDE) == meeting(HOSTS, {}) == ["n1"]


def test_each_server_is_an_endpoint_and_an_upstream() -> None:
    known = {**variables(HYBRID), "gw": {"ansible_host": "192.0.2.9"}}
    found = endpoints.endpoint("wide", [HOSTS], ["gw"], endpoints.listening("wide", [HOSTS], ["gw"], [], known))
    assert found["url"] == "http://192.0.2.9:8080/v1"
    (replica,) = found["replicas"]
    assert (replica["name"], replica["host"]) == ("n1", "192.0.2.1")
    assert [(one["name"], one["host"], one["url"]) for one in replica["servers"]] == [
        (host, f"192.0.2.{number}", f"http://192.0.2.{number}:8000/v1") for number, host in enumerate(HOSTS, 1)
    ]
    (route,), findings = routes(Router("gw", "0.0.0.0"), {"wide": [HOSTS]}, known)
    assert findings == []
    assert [(one["name"], one["url"], one["ready"]) for one in route["servers"]] == [
        (host, f"http://192.0.2.{number}:8000", f"http://192.0.2.{number}:29600/ready")
        for number, host in enumerate(HOSTS, 1)
    ]


def test_a_server_that_its_router_does_not_reach_is_named() -> None:
    known = {**variables(HYBRID), "gw": {"ansible_host": "192.0.2.9"}}
    known["n3"]["engine_host"] = "127.0.0.1"
    _made, findings = routes(Router("gw", "0.0.0.0"), {"wide": [HOSTS]}, known)
    assert [(one["code"], one["message"].partition(" ")[0]) for one in findings] == [("engine-out-of-reach", "n3")]


@pytest.mark.parametrize(
    ("head", "variable"),
    [(HYBRID, "engine_port"), ({**WIDE, "engine_data_parallel_size": 2}, "engine_rendezvous_port")],
)
def test_ports_of_servers_and_of_meeting_places_are_taken(head: dict[str, Any], variable: str) -> None:
    known = variables(head, engine_rendezvous_port=29500)
    known["other"] = {"ansible_host": "192.0.2.3", "engine_port": known["n3"][variable]}
    served = [ports.Served("wide", [HOSTS]), ports.Served("other", [["other"]])]
    (found,) = ports.check(served, {}, known, lambda _host, name, group: f"{name} of {group}")
    assert (found["code"], found["message"]) == (
        "port-used-twice",
        f"{known['n3'][variable]} on 192.0.2.3 is also {variable} of wide",
    )
