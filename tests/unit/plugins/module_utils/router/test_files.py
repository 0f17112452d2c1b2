# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a router routes, and what its watcher tells nginx and smg."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.router import files, upstreams
from ansible_collections.fullrank.serving.plugins.module_utils.router.upstreams import Server
from ansible_collections.fullrank.serving.plugins.modules.router import obstacles, ports
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.router_routes import Router, routes

HOSTS: dict[str, dict[str, Any]] = {
    "n1": {"ansible_host": "192.0.2.1", "engine_name": "vllm", "engine_model": "/srv/models/tiny"},
    "n2": {"ansible_host": "192.0.2.2"},
    "s1": {
        "ansible_host": "192.0.2.3",
        "engine_name": "sglang",
        "engine_served_model_name": "big",
        "router_port": 8081,
    },
    "r1": {"ansible_host": "192.0.2.9"},
}
CUT = {"tiny": [["n1"], ["n2"]], "large": [["s1"]]}


def found(changes: dict[str, dict[str, Any]] | None = None, **router: Any) -> tuple[list[dict[str, Any]], list[str]]:
    known = {host: {**variables, **(changes or {}).get(host, {})} for host, variables in HOSTS.items()}
    made, findings = routes(Router("r1", "0.0.0.0", **router), CUT, known)
    return made, [one["code"] for one in findings]


def test_every_deployment_has_a_route_and_sglang_is_balanced_by_smg() -> None:
    (tiny, large), findings = found()
    assert findings == []
    assert tiny["balancer"] == {} and tiny["model"] == "tiny" and tiny["url"] == "http://192.0.2.9:8080"
    assert [one["url"] for one in tiny["servers"]] == ["http://192.0.2.1:8000", "http://192.0.2.2:8000"]
    assert large["balancer"] == {"port": 18081, "runtime": "sglang", "args": {}}
    assert [one["name"] for one in found(chosen=["large"])[0]] == ["large"]
    assert found({"s1": {"router_kind": "nginx"}})[0][1]["balancer"] == {}


@pytest.mark.parametrize(
    ("changes", "router", "code"),
    [
        ({}, {"chosen": ["tiny", "tinny"]}, "unknown-deployment"),
        ({"s1": {"router_port": 8080}}, {}, "port-used-twice"),
        ({"r1": {"ansible_host": "192.0.2.1"}, "n1": {"engine_port": 8080}}, {}, "port-used-twice"),
        ({"s1": {"router_smg_port": 8079}}, {}, "port-used-twice"),  # its metrics
        ({"n1": {"router_kind": "smg", "engine_name": "lmdeploy"}}, {}, "balancer-for-engine"),
    ],
)
def test_what_is_wrong_with_a_router(changes: dict[str, Any], router: dict[str, Any], code: str) -> None:
    assert found(changes, **router)[1] == [code]


ROUTE: dict[str, Any] = {
    "name": "tiny",
    "host": "0.0.0.0",
    "port": 8080,
    "url": "http://192.0.2.9:8080",
    "model": "tiny",
    "timeout": 3600,
    "max_body_mib": 256,
    "servers": [],
    "balancer": {},
}
SMG = {"port": 18080, "runtime": "sglang", "argv": ["/opt/smg/bin/smg", "launch"]}


def servers(*ready: bool) -> list[Server]:
    made = [
        Server(f"n{number}", f"http://192.0.2.{number}:8000", "http://x/ready") for number in range(1, len(ready) + 1)
    ]
    for one, is_ready in zip(made, ready, strict=True):
        one.heard(is_ready, "")
    return made


def test_a_supervisors_word_counts_at_once_and_its_silence_after_two_questions() -> None:
    (one,) = servers(True)
    one.heard(None, "timed out")
    assert one.is_ready  # a packet may be lost
    one.heard(None, "timed out")
    assert not one.is_ready
    one.heard(True, "ready")
    assert one.is_ready and one.misses == 0
    one.heard(False, "backoff 4 s")
    assert not one.is_ready and one.summary == "backoff 4 s"
    one.heard(None, "timed out")
    assert not one.is_ready
    assert Server("hand", "http://192.0.2.7:80").is_ready  # there is no supervisor to ask


def test_silence_is_noticed_well_within_ten_seconds() -> None:
    assert upstreams.MISSES * upstreams.ASK_S + (upstreams.MISSES + 1) * upstreams.POLL_S + 0.5 <= 8


def test_nginx_gets_the_replicas_that_are_ready() -> None:
    text = upstreams.servers_file(ROUTE, servers(True, False))
    assert "server 192.0.2.1:8000 max_fails=1 fail_timeout=5s;  # n1" in text
    assert "server 192.0.2.2:8000 max_fails=1 fail_timeout=5s down;  # n2" in text
    assert "map $uri $replicas_open { default 1; }" in text
    state = text.partition("$replicas_state { default '")[2].partition("';")[0]
    assert json.loads(state) == {"deployment": "tiny", "ready": True, "servers": {"n1": True, "n2": False}}
    assert "map $uri $replicas_open { default 0; }" in upstreams.servers_file(ROUTE, servers(False, False))
    balanced = upstreams.servers_file({**ROUTE, "balancer": SMG}, servers(True, False))
    assert "server 127.0.0.1:18080;" in balanced and "192.0.2.1" not in balanced


def test_smg_gets_the_workers_that_it_lacks_and_loses_those_that_are_gone() -> None:
    def listed(number: int, status: str = "ready") -> dict[str, str]:
        return {"id": f"id{number}", "url": f"http://192.0.2.{number}:8000", "status": status}

    three = servers(True, False, True)
    assert upstreams.workers_to_change(three, [listed(1), listed(2)]) == (["http://192.0.2.3:8000"], ["id2"])
    assert upstreams.workers_to_change(three, [listed(1), listed(2, "draining"), listed(3)]) == ([], [])
    # it still drains: added again when it is gone
    assert upstreams.workers_to_change(three, [listed(1, "draining"), listed(3)]) == ([], [])
    assert upstreams.worker({**ROUTE, "balancer": SMG}, "http://a:1") == {
        "url": "http://a:1",
        "models": [{"id": "tiny"}],
        "runtime": "sglang",
        "connection_mode": "http",
        "health": {"disable_health_check": True},
    }


def test_the_files_of_a_route() -> None:
    texts = files.files(ROUTE)
    assert set(texts) == {
        "/etc/systemd/system/fullrank-router@tiny.service",
        "/etc/fullrank/router/tiny.json",
        "/etc/fullrank/router/tiny.nginx.conf",
    }
    conf = texts["/etc/fullrank/router/tiny.nginx.conf"]
    assert conf.count("{") == conf.count("}")
    for line in ("listen 0.0.0.0:8080;", "proxy_buffering off;", "proxy_read_timeout 3600s;", "location / {"):
        assert line in conf
    assert "CAP_NET_BIND_SERVICE" not in texts["/etc/systemd/system/fullrank-router@tiny.service"]
    assert "CAP_NET_BIND_SERVICE" in files.unit({**ROUTE, "port": 80})
    assert files.digest(ROUTE) != files.digest({**ROUTE, "timeout": 7})
    assert "listen [::]:8080;" in files.nginx({**ROUTE, "host": "::"})


def test_clients_reach_no_path_that_changes_smg() -> None:
    conf = files.nginx({**ROUTE, "balancer": SMG})
    assert "location ~ ^/(generate|health|" in conf and "return 404" in conf
    assert "workers" not in conf and "flush_cache" not in conf


def test_the_program_stands_alone() -> None:
    texts = files.program()
    assert all("ansible" not in text for text in texts.values())
    for path, text in texts.items():
        compile(text, path, "exec")


def test_who_is_in_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any) -> None:
        raise OSError("Name or service not known")

    route = {**ROUTE, "servers": [{"name": "n1", "url": "http://127.0.0.1:8000", "ready": ""}], "balancer": SMG}
    assert ports(route) == {8080: "router_port", 18080: "router_smg_port", 18081: "router_smg_port"}
    own = {"port": 8080, "pid": 7, "command": "nginx", "unit": "fullrank-router@tiny.service"}
    other = {"port": 18080, "pid": 8, "command": "python3", "unit": ""}
    (one,) = obstacles([route], [own, other])
    assert one["where"] == "router_smg_port of tiny" and "python3 (pid 8)" in one["message"]
    monkeypatch.setattr("socket.getaddrinfo", unknown)
    assert [one["code"] for one in obstacles([route], [])] == ["name-not-resolved"]
