# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action `routes`: from a real inventory to what a router host routes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from action_runner import run_action
from ansible.errors import AnsibleError
from ansible_collections.fullrank.serving.plugins.action.routes import ActionModule
from inventory_vars import task_vars

TINY = {"engine_name": "vllm", "engine_model": "/srv/models/tiny"}
BIG = {"engine_name": "sglang", "engine_model": "/srv/models/big", "router_port": 8081, "router_kind": "smg"}
SMG = {"smg_version": "1.13.0", "smg_venv": "/opt/smg"}


def read(monkeypatch: pytest.MonkeyPatch, folder: Path, big: dict[str, Any], **arguments: Any) -> dict[str, Any]:
    """What the host ``r1`` routes of the deployments ``tiny`` (two replicas) and ``big``."""
    children = {
        "tiny": {"hosts": {"n1": {}, "n2": {}}, "vars": {**TINY, "engine_replicas": 2}},
        "big": {"hosts": {"s1": {}}, "vars": {**BIG, **big}},
        "empty": {},
    }
    text = yaml.safe_dump(
        {"all": {"children": {"deployments": {"children": children}, "router": {"hosts": {"r1": {}}}}}}, sort_keys=False
    )
    variables = task_vars(folder, text)
    return run_action(monkeypatch, ActionModule, {**SMG, **arguments}, inventory_hostname="r1", **variables)[0]


def test_every_deployment_with_hosts_is_routed_to_its_replicas(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    result = read(monkeypatch, tmp_path, {})
    assert "failed" not in result and (result["changed"], result["findings"], result["warnings"]) == (False, [], [])
    tiny, big = result["routes"]
    assert [one["url"] for one in tiny["servers"]] == ["http://n1:8000", "http://n2:8000"]
    assert (tiny["name"], tiny["url"], tiny["balancer"]) == ("tiny", "http://r1:8080", {})
    argv = big["balancer"]["argv"]
    assert argv[0].startswith("/opt/smg/bin/")
    assert [argv[argv.index(name) + 1] for name in ("--host", "--port", "--prometheus-port")] == [
        "127.0.0.1",
        "18081",
        "18082",
    ]
    assert "args" not in big["balancer"]


def test_chosen_deployments_and_an_address(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    result = read(monkeypatch, tmp_path, {}, deployments=["tiny"], host="192.0.2.9")
    assert [(one["name"], one["host"]) for one in result["routes"]] == [("tiny", "192.0.2.9")]


def test_options_of_the_balancer_replace_its_defaults(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    argv = read(monkeypatch, tmp_path, {"router_smg_args": {"log_level": "info"}})["routes"][1]["balancer"]["argv"]
    assert argv[argv.index("--log-level") + 1] == "info"


@pytest.mark.parametrize(
    ("big", "arguments", "part"),
    [
        ({}, {"deployments": ["tinny"]}, "there is no deployment tinny"),
        ({"router_port": 8080}, {}, "is also router_port of tiny"),
        ({"engine_name": "lmdeploy", "router_kind": "smg"}, {}, "smg does not balance lmdeploy"),
        ({"router_smg_args": {"polcy": "random"}}, {}, "polcy"),
    ],
)
def test_what_is_wrong_fails_before_anything_is_changed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, big: dict[str, Any], arguments: dict[str, Any], part: str
) -> None:
    result = read(monkeypatch, tmp_path, big, **arguments)
    assert result["failed"] and result["msg"].startswith("router r1: nothing was changed: ")
    assert part in result["msg"]


@pytest.mark.parametrize("left_out", ["smg_version", "smg_venv"])
def test_what_is_required(monkeypatch: pytest.MonkeyPatch, left_out: str) -> None:
    params = {name: value for name, value in SMG.items() if name != left_out}
    with pytest.raises(AnsibleError, match=f"missing required arguments: {left_out}"):
        run_action(monkeypatch, ActionModule, params)
