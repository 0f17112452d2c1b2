# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The check of an inventory, over real inventories."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible_collections.fullrank.serving.plugins.action.deployments import ActionModule
from inventory_vars import task_vars

TINY: dict[str, Any] = {
    "engine_name": "vllm",
    "engine_version": "0.32.0",
    "engine_model": "/data/tiny",
    "engine_tensor_parallel_size": 2,
    "engine_api_key": "sk-0123456789",
}


@pytest.fixture
def check(tmp_path: Path) -> Any:
    def answer(
        variables: dict[str, Any], check_variables: bool = True, required: bool = True, **groups: Any
    ) -> dict[str, Any]:
        tiny = {"hosts": {"n1": {}, "n2": {}}, "vars": variables}
        inventory = {"all": {"children": {"deployments": {"children": {"tiny": tiny}}, **groups}}}
        action = ActionModule.__new__(ActionModule)
        action._loader = DataLoader()
        params = {"check_variables": check_variables, "required": required}
        return action.answer(params, task_vars(tmp_path, yaml.safe_dump(inventory)))

    return answer


def codes(result: dict[str, Any]) -> list[tuple[str, str]]:
    return [(one["code"], one["message"]) for one in result["findings"]]


def test_a_deployment_with_what_its_role_requires_is_accepted(check: Any) -> None:
    result = check({**TINY, "engine_replicas": 2, "engine_tensor_parallel_size": 1})
    assert result == {
        "deployments": {"tiny": ["n1", "n2"]},
        "replicas": {"tiny": [["n1"], ["n2"]]},
        "routers_on_heads": {},
        "findings": [],
    }


def test_what_the_role_deployment_requires_is_required_and_of_other_roles_nothing(check: Any) -> None:
    result = check({})
    assert result["failed"]
    assert [one["where"] for one in result["findings"]] == [
        "engine_name of tiny",
        "engine_version of tiny",
        "engine_model of tiny",
    ]


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("engine_drain_timeout", "soon", "value-type"),  # of an entry point other than main
        ("engine_runtime", "qemu", "value-choice"),  # of the role deployment
        ("comm_check_secnds", 1, "unknown-variable"),
    ],
)
def test_options_of_all_roles_and_entry_points_are_known(check: Any, name: str, value: Any, code: str) -> None:
    assert [one for one, _message in codes(check({**TINY, name: value}))] == [code]


def test_what_the_web_chat_requires_is_required_of_its_hosts(check: Any) -> None:
    result = check(TINY, webui={"hosts": {"w1": {}}})
    assert [(one["code"], one["where"]) for one in result["findings"]] == [
        ("variable-missing", "webui_admin_email of webui"),
        ("variable-missing", "webui_admin_password of webui"),
    ]


def test_the_shape_alone_can_be_checked(check: Any) -> None:
    assert check({"engine_drain_timeout": "soon"}, check_variables=False)["findings"] == []
    assert codes(check({"engine_replicas": 3}, check_variables=False))[0][0] == "replicas-uneven"
