# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Decides on the controller what all ranks share: no connection, nothing changed."""

from __future__ import annotations

from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common import findings
from ansible_collections.fullrank.serving.plugins.plugin_utils.actions.controller import ControllerAction
from ansible_collections.fullrank.serving.plugins.plugin_utils.plan.decide import Deployed, decide

_FACTS = {"type": "list", "elements": "dict"}
OPTIONS: dict[str, dict[str, Any]] = {
    "deployment": {"type": "str", "required": True},
    "hosts": {"type": "list", "elements": "str", "required": True},
    "rendezvous": {**_FACTS, "required": True},
    "gpu_facts": {**_FACTS, "default": []},
    "rdma_facts": {**_FACTS, "default": []},
    "nccl": {"type": "dict", "default": {}},
    "model_info": {"type": "dict", "default": {}},
    "hardware": {"type": "dict", "default": {}},
    "engine": {"type": "str", "required": True},
    "engine_version": {"type": "str", "required": True},
    "engine_args": {"type": "dict", "default": {}},
    "tensor_parallel_size": {"type": "int", "default": 1},
    "pipeline_parallel_size": {"type": "int", "default": 1},
    "data_parallel_size": {"type": "int", "default": 1},
    "gpus": {"type": "list", "elements": "int"},
    "fit_required": {"type": "bool", "default": True},
    "planning": {"type": "bool", "default": False},
}


class ActionModule(ControllerAction):
    """The action behind ``fullrank.serving.deployment_plan``."""

    options = OPTIONS

    def answer(self, params: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        deployment, planning = params.pop("deployment"), params["planning"]
        plan = decide(Deployed(**params))
        message = findings.failures(plan["findings"], f"deployment {deployment}: nothing was started or changed")
        if message and not planning:
            return plan | {"failed": True, "msg": message}
        return plan if planning else plan | {"warnings": findings.lines(plan["findings"], findings.WARN)}
