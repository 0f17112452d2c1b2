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
from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import line
from ansible_collections.fullrank.serving.plugins.plugin_utils.actions.host_variables import HostVariables
from inventory_vars import NO_LIMIT, first_step, task_vars
from places import CHECKOUT

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
        variables: dict[str, Any],
        check_variables: bool = True,
        required: bool = True,
        limit: dict[str, Any] | None = None,
        **groups: Any,
    ) -> dict[str, Any]:
        tiny = {"hosts": {"n1": {}, "n2": {}}, "vars": variables}
        inventory = {"all": {"children": {"deployments": {"children": {"tiny": tiny}}, **groups}}}
        action = ActionModule.__new__(ActionModule)
        action._loader = DataLoader()
        params = {"check_variables": check_variables, "required": required, **(limit or NO_LIMIT)}
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


@pytest.mark.parametrize(
    ("variables", "remedy"),
    [
        ({"engine_expert_parallel": True}, "did you mean enable_expert_parallel, in engine_args?"),
        ({"engine_parallel_size": 2}, "did you mean engine_data_parallel_size or "),
        ({"enable_expert_parallel": True}, "write it into engine_args, as enable_expert_parallel"),
        ({"engine_max_model_len": 1024}, "write it into engine_args, as max_model_len"),
        ({"tensor_parallel_size": 8}, "write engine_tensor_parallel_size"),
        ({"served_model_name": "tiny"}, "write engine_served_model_name"),
        ({"monitoring_zzz": 1}, "take it out"),
        ({"router_rack": "r1"}, "does not begin with router_"),
    ],
)
def test_a_name_that_looks_like_ours_or_the_engines_and_is_read_by_nothing_is_a_warning(
    check: Any, variables: dict[str, Any], remedy: str
) -> None:
    result = check({**TINY, **variables})
    (found,) = result["findings"]
    assert (found["severity"], found["code"]) == ("warn", "variable-unread")
    assert remedy in found["remedy"] and "failed" not in result
    (name,) = variables
    assert found["where"].startswith(f"{name} (hosts.yml:") and result["warnings"] == [line(found)]


@pytest.mark.parametrize(("name", "value"), [("max_model_len", "long"), ("seed", 7), ("no_such_option", 1)])
def test_what_the_engine_would_refuse_or_every_inventory_may_have_is_not_reported_as_its_option(
    check: Any, name: str, value: Any
) -> None:
    assert check({**TINY, name: value})["findings"] == []


def test_the_cost_of_a_host_more_is_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted, not timed. Before, the defaults of roles were evaluated for each variable of each host: 0.6 s for five hosts."""
    evaluated: list[tuple[str, str]] = []
    of_roles = HostVariables.of_roles

    def counted(self: HostVariables, name: str) -> Any:
        evaluated.append((self.host, name))
        return of_roles(self, name)

    monkeypatch.setattr(HostVariables, "of_roles", counted)
    hosts: dict[str, None] = {f"n{number}": None for number in range(1, 9)}
    tiny = {"hosts": hosts, "vars": {**TINY, "engine_tensor_parallel_size": 8}}
    inventory = yaml.safe_dump({"all": {"children": {"deployments": {"children": {"tiny": tiny}}}}})
    assert first_step(tmp_path, {"hosts.yml": inventory})["findings"] == []
    assert len(evaluated) == len(set(evaluated)) and {host for host, _name in evaluated} == {"n1"}


OF_ROUTERS = {
    "router_keys": {"red": {"key": "short"}},
    "router_paths": ["tokenize"],
    "router_cors_origins": ["chat"],
    "router_tls_certificate": "/etc/x.pem",
}


@pytest.mark.parametrize(
    "wrong",
    [
        {"engine_port": "many", "engine_name": "vlm"},
        {"router_port": 0, "router_kind": "nginx"},
        {"router_host": "not an address", "router_smg_version": "newest"},
        {"engine_args": "max_model_len", "engine_replicas": 3},
    ],
)
def test_what_is_wrong_with_routers_is_in_the_same_report(check: Any, wrong: dict[str, Any]) -> None:
    result = check({**TINY, **OF_ROUTERS, **wrong}, router={"hosts": {"r1": {**wrong}}})
    named = {one["where"].split(" ")[0].split("[")[0].strip(",") for one in result["findings"]}
    assert named == {*OF_ROUTERS, *wrong}


@pytest.mark.parametrize(
    "wrong",
    [
        {"router_tls": True, "router_tls_certificate": "/etc/x.pem", "router_tls_key": "x.key"},
        {"router_kind": "smg", "engine_name": "vlm"},
        # where the default stood for it, the port of the metrics would be in use
        {"engine_port": 28080, "router_port": 0},
        {"router_kind": "smg", "router_smg_version": "newest", "router_smg_args": {"polcy": 1}},
    ],
)
def test_nothing_is_reported_that_may_come_from_another_mistake(check: Any, wrong: dict[str, Any]) -> None:
    assert len(check({**TINY, **wrong}, router={"hosts": {"r1": {}}})["findings"]) == 1


INVENTORIES = sorted(
    path.parent for folder in ("inventories", "molecule") for path in (CHECKOUT / folder).glob("**/hosts.yml")
)


@pytest.mark.parametrize("folder", INVENTORIES, ids=lambda path: path.relative_to(CHECKOUT).as_posix())
def test_the_inventories_of_this_project_have_no_variable_that_nothing_reads(folder: Path, tmp_path: Path) -> None:
    files = {path.relative_to(folder).as_posix(): path.read_text() for path in folder.glob("**/*.yml")}
    codes = [one["code"] for one in first_step(tmp_path, files)["findings"]]
    assert "variable-unread" not in codes


def test_a_limit_that_cuts_a_replica_is_a_finding_of_the_inventory(check: Any) -> None:
    whole = {"hosts": ["n1"], "whole": "replicas", "works_on": ["deployments"], "of": [], "tags": []}
    assert codes(check(TINY, limit=whole)) == [
        ("limit-cuts-replica", "it has n1 of tiny and not n2; ranks of one group start and stop together")
    ]
    assert check(TINY, limit={**whole, "hosts": ["n1", "n2"]})["findings"] == []
    assert check(TINY, limit={**whole, "of": ["another"]})["findings"] == []
    assert check(TINY, limit={**whole, "whole": "nothing"})["findings"] == []
    assert check(TINY, limit={**whole, "hosts": ["localhost"]})["findings"][0]["code"] == "limit-without-hosts"


def test_a_group_of_groups_is_one_deployment(tmp_path: Path) -> None:
    inventory = """
    deployments:
      children:
        team_a:
          children:
            chat: {hosts: {n1: {engine_model: /m/chat}}}
            code: {hosts: {n2: {engine_model: /m/code}}}
          vars: {engine_name: vllm, engine_version: 0.32.0, engine_tensor_parallel_size: 2, engine_api_key: sk-0123456789}
    """
    result = first_step(tmp_path, {"hosts.yml": inventory})
    assert "make each a child group of deployments" in result["msg"] and "engine_model (hosts.yml:" in result["msg"]
