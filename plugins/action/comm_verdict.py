# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Judges a communication check on the controller: no connection, nothing changed."""

from __future__ import annotations

from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common import findings
from ansible_collections.fullrank.serving.plugins.plugin_utils.actions.controller import ControllerAction
from ansible_collections.fullrank.serving.plugins.plugin_utils.report import comm_text
from ansible_collections.fullrank.serving.plugins.plugin_utils.report.comm_verdict import Limits, as_data, judge

OPTIONS = {
    "deployment": {"type": "str", "required": True},
    "hosts": {"type": "list", "elements": "str", "required": True},
    "runs": {"type": "list", "elements": "dict", "required": True},
    "backend": {"type": "str", "choices": ["nccl", "gloo", "mpi"], "default": "nccl"},
    "expect_rdma": {"type": "bool", "default": False},
    "min_gbps": {"type": "float", "default": 0},
    "min_link_share": {"type": "float", "default": 0},
    "min_pair_share": {"type": "float", "default": 0.5},
}


class ActionModule(ControllerAction):
    """The action behind ``fullrank.serving.comm_verdict``."""

    options = OPTIONS

    def answer(self, params: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        deployment, hosts, runs = params.pop("deployment"), params.pop("hosts"), params.pop("runs")
        limits = Limits(**params)
        numbers, found = judge(deployment, hosts, runs, limits)
        data = as_data(hosts, numbers, found, limits)
        table = comm_text.lines(deployment, data, [run.get("networks", {}) for run in runs])
        message = findings.failures(found, f"{deployment}: the ranks cannot serve over these links")
        return {"passed": not found, "result": data, "table": table, "report": message}
