# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads on the controller what this host routes: no connection, nothing changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common import findings as common_findings
from ansible_collections.fullrank.serving.plugins.plugin_utils.actions.controller import ControllerAction
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.endpoints import ROUTERS, WATCHERS, listening
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.groups import (
    ADDRESSES,
    deployments,
    replicas_of,
    variables_of,
)
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.router_routes import (
    OWN_VARIABLES,
    Router,
    routes,
)
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.serving import all_serving
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.balancer import balancer

OPTIONS = {
    "host": {"type": "str", "default": "0.0.0.0"},
    "deployments": {"type": "list", "elements": "str", "default": []},
    "smg_version": {"type": "str", "required": True},
    "smg_venv": {"type": "path", "required": True},
}


class ActionModule(ControllerAction):
    """The action behind ``fullrank.serving.routes``."""

    options = OPTIONS

    def answer(self, params: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        router = Router(task_vars["inventory_hostname"], params["host"], params["deployments"])
        cut = {one.name: replicas_of(task_vars, one.name) for one in deployments(task_vars) or [] if one.hosts}
        routers, watchers = (list(task_vars["groups"].get(group, [])) for group in (ROUTERS, WATCHERS))
        hosts = [router.name, *routers, *watchers, *(hosts[0] for replicas in cut.values() for hosts in replicas)]
        variables: dict[str, Mapping[str, Any]] = dict(variables_of(task_vars, hosts, [*ADDRESSES, *OWN_VARIABLES]))
        others = [one for replicas in cut.values() for one in all_serving(replicas, variables) if one not in variables]
        variables |= variables_of(task_vars, others, [*ADDRESSES, *OWN_VARIABLES])
        for name, replicas in cut.items():
            variables = listening(name, replicas, routers, watchers, variables)
        found, findings = routes(router, cut, variables)
        for route in found:
            if route["balancer"]:
                launch = balancer(route, params)
                findings += launch["findings"]
                route["balancer"]["argv"] = launch["argv"]
        result = {"routes": found, "findings": findings}
        if message := common_findings.failures(findings, f"router {router.name}: nothing was changed"):
            return result | {"failed": True, "msg": message}
        return result | {"warnings": common_findings.lines(findings, common_findings.WARN)}
