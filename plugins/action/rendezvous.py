# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Brings the facts of all ranks together on the controller: no connection, nothing changed."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.fullrank.serving.plugins.module_utils.units import container_name, group_unit_name, unit_name
from ansible_collections.fullrank.serving.plugins.plugin_utils import findings as report
from ansible_collections.fullrank.serving.plugins.plugin_utils.rendezvous import agree, planned

OPTIONS = {
    "deployment": {"type": "str", "required": True},
    "label": {"type": "str", "default": ""},
    "hosts": {"type": "list", "elements": "str", "required": True},
    "facts": {"type": "list", "elements": "dict", "required": True},
    "declared": {"type": "list", "elements": "str"},
    "network": {"type": "str", "default": ""},
}


class ActionModule(ActionBase):
    """The action behind ``fullrank.serving.rendezvous``."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        _unused, given = self.validate_argument_spec(argument_spec=OPTIONS)
        task_vars = task_vars or {}
        deployment, hosts = given["deployment"], given["hosts"]
        own = (unit_name(deployment), container_name(deployment), group_unit_name(deployment))
        label = given["label"] or deployment
        places, findings = agree(label, own, given["network"], hosts, given["facts"])
        if given["declared"]:
            places, findings = planned(places, given["declared"], findings)
        rank = hosts.index(task_vars["inventory_hostname"])
        result |= {"changed": False, "findings": findings, "rank": rank, "nnodes": len(hosts)}
        result |= {"interface": places[rank].interface, "address": places[rank].address}
        result["head_address"] = places[0].address
        if message := report.failures(findings, f"deployment {label}: nothing was started or changed"):
            # every rank stops here; the first that can speak says why
            speaker = next(rank for rank, said in enumerate(given["facts"]) if "candidates" in said)
            result |= {"failed": True, "msg": message if rank == speaker else f"see rank {speaker} ({hosts[speaker]})"}
        return result
