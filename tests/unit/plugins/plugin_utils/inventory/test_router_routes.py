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
