# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts cut into replicas, and where they answer."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory import endpoints, replicas
from hypothesis import given
from hypothesis import strategies as st


@given(st.integers(1, 12), st.integers(1, 8))
def test_every_host_has_one_place(count: int, size: int) -> None:
    hosts = [f"n{number}" for number in range(count * size)]
    places = [replicas.place("a", hosts, host, count) for host in hosts]
    assert [(one["replica"], one["rank"]) for one in places] == [(r, n) for r in range(count) for n in range(size)]
    assert [host for cut in replicas.groups(hosts, count) for host in cut] == hosts
    for host, one in zip(hosts, places, strict=True):
        assert one["hosts"][one["rank"]] == host
        assert one["head"] == one["hosts"][0] == one["heads"][one["replica"]]
        assert {*one["others"], host} == set(one["hosts"])


@pytest.mark.parametrize(("size", "count"), [(4, 3), (4, 0), (4, -1), (0, 1), (2, 4)])
def test_what_cannot_be_cut_is_an_error(size: int, count: int) -> None:
    with pytest.raises(ValueError, match=f"{size} hosts cannot be cut into {count} equal groups"):
        replicas.groups([f"n{number}" for number in range(size)], count)


def test_a_replica_is_called_by_its_number_where_there_are_several() -> None:
    assert replicas.labelled({"a": [["n1", "n2"]], "b": [["n3"], ["n4"]]}) == {
        "a": ("a", ["n1", "n2"]),
        "b replica 0": ("b", ["n3"]),
        "b replica 1": ("b", ["n4"]),
    }


HOSTS: dict[str, dict[str, Any]] = {
    "n1": {"ansible_host": "192.0.2.1", "engine_port": 30000, "engine_rendezvous_port": 25000},
    "n3": {"ansible_host": "2001:db8::3", "engine_port": 30000, "engine_group_port": 700},
    "r1": {"ansible_host": "192.0.2.9"},
    "r2": {"router_host": "198.51.100.7", "router_deployments": ["b"]},
}


def test_heads_answer_where_they_listen() -> None:
    assert endpoints.servers([["n1", "n2"], ["n3", "n4"]], HOSTS) == [
        {"name": "n1", "url": "http://192.0.2.1:30000", "ready": "http://192.0.2.1:25100/ready"},
        {"name": "n3", "url": "http://[2001:db8::3]:30000", "ready": "http://[2001:db8::3]:700/ready"},
    ]
    bound = {"n1": {"engine_host": "10.0.0.1"}}
    assert endpoints.servers([["n1"]], bound)[0]["url"] == "http://10.0.0.1:8000"
    assert endpoints.servers([["n1"]], {"n1": {}})[0]["ready"] == "http://n1:29600/ready"


@pytest.mark.parametrize(
    ("routers", "watchers", "own", "listens"),
    [
        ([], [], {}, "0.0.0.0"),  # clients reach the head itself
        ([], ["watch"], {}, "0.0.0.0"),
        (["gateway"], [], {}, "192.0.2.1"),
        (["beside"], [], {}, "127.0.0.1"),
        (["beside"], ["n1"], {}, "127.0.0.1"),
        (["beside"], ["watch"], {}, "192.0.2.1"),
        (["beside", "gateway"], [], {}, "192.0.2.1"),
        ([], [], {"engine_router_on_head": True}, "127.0.0.1"),
        (["gateway"], [], {"engine_router_on_head": True}, "192.0.2.1"),  # the group decides
        (["other"], [], {"engine_router_on_head": True}, "127.0.0.1"),  # which routes another deployment
        (["gateway"], [], {"engine_host": "10.0.0.1"}, "10.0.0.1"),
        (["gateway"], [], {"ansible_host": "gpu1.example"}, "0.0.0.0"),
    ],
)
def test_a_head_listens_where_its_readers_are(
    routers: list[str], watchers: list[str], own: dict[str, Any], listens: str
) -> None:
    hosts: dict[str, dict[str, Any]] = {
        "n1": {"ansible_host": "192.0.2.1", **own},
        "beside": {"ansible_host": "192.0.2.1"},
        "gateway": {"ansible_host": "192.0.2.9"},
        "other": {"ansible_host": "192.0.2.9", "router_deployments": ["b"]},
        "watch": {"ansible_host": "192.0.2.8"},
    }
    known = endpoints.listening("a", [["n1"]], routers, watchers, hosts)
    (head,) = endpoints.endpoint("a", [["n1"]], routers, known)["replicas"]
    assert head["host"] == listens
    reached = "192.0.2.1" if listens == "0.0.0.0" and not own.get("ansible_host") else listens
    if not own.get("ansible_host"):
        assert head["url"] == f"http://{reached}:8000/v1"
        assert head["ready"] == f"http://{reached}:29600/ready"


def test_each_replica_listens_for_itself() -> None:
    hosts = {"n1": {"ansible_host": "192.0.2.1"}, "n2": {"ansible_host": "192.0.2.2"}}
    known = endpoints.listening("a", [["n1"], ["n2"]], ["n1"], [], hosts)
    assert [one["url"] for one in endpoints.servers([["n1"], ["n2"]], known)] == [
        "http://127.0.0.1:8000",
        "http://192.0.2.2:8000",
    ]


def test_a_router_on_the_head() -> None:
    hosts = {**HOSTS, "n1": {**HOSTS["n1"], "engine_router_on_head": True}}
    assert endpoints.endpoint("a", [["n1"], ["n3"]], [], hosts)["routers"] == ["http://192.0.2.1:8080/v1"]
    on_heads = endpoints.routers_on_heads({"a": [["n1"]], "b": [["n3"]], "none": [[]]}, [], hosts)
    assert on_heads == {"n1": ["a"]}
    assert endpoints.routers_on_heads({"a": [["n1"]]}, ["r1"], hosts) == {}
    # as the playbooks know it, once it is in the group: it routes this deployment and no other
    merged = {**hosts, "n1": {**hosts["n1"], "router_deployments": ["a"]}}
    assert endpoints.endpoint("b", [["n3"]], ["n1"], merged)["routers"] == []


def test_clients_go_to_the_router_where_there_is_one() -> None:
    alone = endpoints.endpoint("a", [["n1"], ["n3"]], [], HOSTS)
    assert alone["url"] == "http://192.0.2.1:30000/v1" == alone["replicas"][0]["url"]
    assert alone["routers"] == []
    routed = endpoints.endpoint("a", [["n1"], ["n3"]], ["r1", "r2"], HOSTS)
    assert routed["url"] == "http://192.0.2.9:8080/v1" and routed["routers"] == [routed["url"]]
    assert endpoints.endpoint("b", [["n3"]], ["r1", "r2"], HOSTS)["routers"] == [
        "http://192.0.2.9:8080/v1",
        "http://198.51.100.7:8080/v1",
    ]
