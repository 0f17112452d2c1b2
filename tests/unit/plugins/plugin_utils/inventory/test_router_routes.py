# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a router routes, by the inventory."""

from __future__ import annotations

from typing import Any

import pytest
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


def test_every_deployment_has_a_route_and_smg_balances_where_it_is_asked_for() -> None:
    (tiny, large), findings = found({"s1": {"router_kind": "smg"}})
    assert findings == []
    assert tiny["balancer"] == {} and tiny["model"] == "tiny" and tiny["url"] == "http://192.0.2.9:8080"
    assert [one["url"] for one in tiny["servers"]] == ["http://192.0.2.1:8000", "http://192.0.2.2:8000"]
    assert large["balancer"] == {"port": 18081, "runtime": "sglang", "args": {}}
    assert [one["name"] for one in found(chosen=["large"])[0]] == ["large"]
    assert found()[0][1]["balancer"] == {}


def test_what_clients_may_ask_and_how_much() -> None:
    changes = {
        "router_paths": ["POST /tokenize"],
        "router_keys": {"team-a": {"key": "a-key-of-the-tests", "rate": 60}},
        "router_max_body_mib": 7,
        "router_resend": "no",
    }
    tiny = found({"n1": changes, "r1": {"router_metrics_from": ["192.0.2.30"]}})[0][0]
    assert "/tokenize" in tiny["post"] and "/v1/chat/completions" in tiny["post"] and "/invocations" not in tiny["post"]
    assert tiny["teams"] == [{"name": "team-a", "concurrency": 0, "rate": 60}]
    assert "a-key-of-the-tests" not in str(tiny)
    assert (tiny["max_body_mib"], tiny["resend"], tiny["queue"]) == (7, False, 128)
    assert tiny["metrics_from"] == ["192.0.2.30/32"] and tiny["metrics_port"] == 28080


def test_https_at_the_router() -> None:
    tiny = found({"n1": {"router_tls": True}})[0][0]
    assert tiny["url"] == "https://192.0.2.9:8080" and tiny["tls_own"]
    assert tiny["tls_certificate"] == "/etc/fullrank/router/tiny.crt"
    changes = {"router_tls": "yes", "router_tls_certificate": "/c", "router_tls_key": "/k"}
    tiny = found({"n1": changes})[0][0]
    assert (tiny["tls"], tiny["tls_own"], tiny["tls_certificate"], tiny["tls_key"]) == (True, False, "/c", "/k")


@pytest.mark.parametrize(
    ("changes", "router", "code"),
    [
        ({}, {"chosen": ["tiny", "tinny"]}, "unknown-deployment"),
        ({"s1": {"router_port": 8080}}, {}, "port-used-twice"),
        ({"r1": {"ansible_host": "192.0.2.1"}, "n1": {"engine_port": 8080}}, {}, "port-used-twice"),
        ({"s1": {"router_kind": "smg", "router_smg_port": 8079}}, {}, "port-used-twice"),  # its metrics
        ({"n1": {"router_kind": "smg", "engine_name": "lmdeploy"}}, {}, "balancer-for-engine"),
        ({"n1": {"router_port": 50000}}, {}, "no-port"),  # of its metrics
        ({"n1": {"router_tls": True, "router_tls_key": "/k"}}, {}, "router-tls"),
        ({"n1": {"router_keys": {"a": {}}}}, {}, "router-keys"),
        ({"n1": {"router_paths": ["/tokenize"]}}, {}, "router-path"),
        ({"n1": {"router_cors_origins": ["chat.example.com"]}}, {}, "router-origin"),
        ({"n1": {"router_cors_origins": ["https://chat.example.com:99999"]}}, {}, "router-origin"),
        ({"n1": {"router_cors_origins": ["https://chat.example.com/"]}}, {}, "router-origin"),
        ({"n1": {"router_keys": {"a": {"key": "k" * 20}}, "engine_api_key_required": "no"}}, {}, "router-keys"),
        ({"n1": {"router_keys": {"a": {"key": "k" * 20}}, "engine_api_key": "k" * 20}}, {}, "router-keys"),
        ({"n2": {"engine_host": "127.0.0.1"}}, {}, "engine-out-of-reach"),
        ({"n2": {"engine_host": "::1"}}, {}, "engine-out-of-reach"),
        ({"r1": {"router_metrics_from": ["everybody"]}}, {}, "router-metrics-from"),
    ],
)
def test_what_is_wrong_with_a_router(changes: dict[str, Any], router: dict[str, Any], code: str) -> None:
    assert set(found(changes, **router)[1]) == {code}


@pytest.mark.parametrize(
    "changes",
    [
        {"n1": {"router_cors_origins": ["http://[::1]:3000", "capacitor://localhost", "https://a.example:65535"]}},
        {"n1": {"router_paths": ["POST /v1beta/models/x:generateContent"]}},
        {"n1": {"engine_api_key_required": False}},
        {"n1": {"ansible_host": "192.0.2.9", "engine_host": "127.0.0.1"}},
    ],
)
def test_what_is_unusual_and_right(changes: dict[str, Any]) -> None:
    assert found(changes)[1] == []
