# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Brings the facts of all ranks together on the controller: no connection, nothing changed."""

from __future__ import annotations

from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common import findings as common_findings
from ansible_collections.fullrank.serving.plugins.module_utils.systemd import names
from ansible_collections.fullrank.serving.plugins.plugin_utils.actions.controller import ControllerAction
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.rendezvous import agree, planned

OPTIONS = {
    "deployment": {"type": "str", "required": True},
    "label": {"type": "str", "default": ""},
    "hosts": {"type": "list", "elements": "str", "required": True},
    "facts": {"type": "list", "elements": "dict", "required": True},
    "declared": {"type": "list", "elements": "str"},
    "declared_interface": {"type": "str", "default": ""},
    "network": {"type": "str", "default": ""},
}


class ActionModule(ControllerAction):
    """The action behind ``fullrank.serving.rendezvous``."""

    options = OPTIONS

    def answer(self, params: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        deployment, hosts = params["deployment"], params["hosts"]
        label = params["label"] or deployment
        places, findings = agree(label, names.of_rank(deployment), params["network"], hosts, params["facts"])
        if params["declared"]:
            places, findings = planned(places, params["declared"], findings, params["declared_interface"])
        rank = hosts.index(task_vars["inventory_hostname"])
        result = {
            "findings": findings,
            "rank": rank,
            "nnodes": len(hosts),
            "interface": places[rank].interface,
            "address": places[rank].address,
            "head_address": places[0].address,
        }
        if message := common_findings.failures(findings, f"deployment {label}: nothing was started or changed"):
            # every rank stops here; the first whose facts are known reports why
            reporter = next(number for number, known in enumerate(params["facts"]) if "candidates" in known)
            result |= {
                "failed": True,
                "msg": message if rank == reporter else f"see rank {reporter} ({hosts[reporter]})",
            }
        return result
