# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action `deployment_plan`: failures stop a deployment and not a plan, warnings are shown."""

from __future__ import annotations

from typing import Any

import pytest
from action_runner import run_action
from ansible.errors import AnsibleError
from ansible_collections.fullrank.serving.plugins.action.deployment_plan import ActionModule
from memory_models import model_of
from nccl_machines import machine

PORT = {"hca": "mlx5_0", "rate": 200, "gpu": 0}


def arguments(**changes: Any) -> dict[str, Any]:
    """DeepSeek-R1 on two nodes of eight H200, where it fits."""
    return {
        "deployment": "r1",
        "hosts": ["n1", "n2"],
        "rendezvous": [{"interface": "eth0", "address": f"10.0.0.{rank}"} for rank in (1, 2)],
        "gpu_facts": [{}, {}],
        "rdma_facts": [{}, {}],
        "model_info": model_of("deepseek-r1"),
        "hardware": {"gpu": "H200", "gpus_per_node": 8},
        "engine": "sglang",
        "engine_version": "0.5.23",
        "tensor_parallel_size": 16,
        **changes,
    }


SMALL = {"gpu": "H200", "memory_mib": 24 * 1024, "gpus_per_node": 8}


def test_a_model_that_fits_gives_the_arithmetic_and_a_proposal(monkeypatch: pytest.MonkeyPatch) -> None:
    plan, _ = run_action(monkeypatch, ActionModule, arguments())
    assert "failed" not in plan and plan["changed"] is False
    assert plan["fit"]["verdict"] == "fits" and plan["proposal"]["ok"]
    assert plan["nccl"] == {}, "not all ranks have their hardware"


def test_facts_of_all_ranks_give_each_its_nccl_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = [machine([PORT], rank) for rank in (0, 1)]
    params = arguments(
        gpu_facts=[{"gpus": one["gpus"]} for one in facts], rdma_facts=[{"hcas": one["hcas"]} for one in facts]
    )
    plan, _ = run_action(monkeypatch, ActionModule, params)
    assert {host: one["env"]["NCCL_IB_HCA"] for host, one in plan["nccl"]["ranks"].items()} == {
        "n1": "=mlx5_0",
        "n2": "=mlx5_0",
    }


def test_a_model_that_does_not_fit_fails_once_with_all_findings(monkeypatch: pytest.MonkeyPatch) -> None:
    plan, _ = run_action(monkeypatch, ActionModule, arguments(hardware=SMALL))
    assert plan["failed"] and plan["msg"].startswith("deployment r1: nothing was started or changed: ")
    failures = [one for one in plan["findings"] if one["severity"] == "fail"]
    assert failures and all(one["message"] in plan["msg"] for one in failures)
    assert plan["fit"]["verdict"] != "fits", "what was reckoned is returned with the failure"


def test_a_plan_returns_failures_and_does_not_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    plan, _ = run_action(monkeypatch, ActionModule, arguments(hardware=SMALL, planning=True))
    assert "failed" not in plan and "warnings" not in plan
    assert "fail" in {one["severity"] for one in plan["findings"]}


def test_without_a_required_fit_the_failure_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    plan, _ = run_action(monkeypatch, ActionModule, arguments(hardware=SMALL, fit_required=False))
    assert "failed" not in plan
    assert "fail" not in {one["severity"] for one in plan["findings"]}
    (first, *_) = [one["message"] for one in plan["findings"] if one["severity"] == "warn"]
    assert any(first in line for line in plan["warnings"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"engine": None}, "missing required arguments: engine"),
        ({"tensor_parallel_size": "all"}, "tensor_parallel_size"),
        ({"gpu": [0]}, "Unsupported parameters"),
    ],
)
def test_wrong_arguments_are_refused(monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], message: str) -> None:
    params = {name: value for name, value in arguments(**changes).items() if value is not None}
    with pytest.raises(AnsibleError, match=message):
        run_action(monkeypatch, ActionModule, params)
