# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Prometheus is to read, and what it will not see."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import lines
from ansible_collections.fullrank.serving.plugins.plugin_utils.actions.scrape_plan import findings, scrape_configs
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.endpoints import (
    ROUTERS,
    WATCHERS,
    listening,
    value,
)
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.replicas import groups as replicas


def scrape_plan(
    deployments: Mapping[str, Sequence[str]],
    hosts: Mapping[str, Mapping[str, Any]],
    groups: Mapping[str, Sequence[str]],
) -> dict[str, Any]:
    """``scrape_configs`` in Prometheus' own words, and ``findings``, a line each."""
    gpu_nodes, servers, routers = (groups.get(name, []) for name in ("gpu_nodes", WATCHERS, ROUTERS))
    for name, ranks in deployments.items():
        cut = replicas(ranks, int(value(hosts[ranks[0]], "engine_replicas"))) if ranks else []
        hosts = listening(name, cut, routers, servers, hosts)
    machines = list(dict.fromkeys([*gpu_nodes, *servers]))
    return {
        "scrape_configs": scrape_configs(deployments, machines, gpu_nodes, hosts),
        "findings": lines(findings(deployments, servers, hosts), "warn"),
    }


class FilterModule:
    """The filter ``fullrank.serving.scrape_plan``."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"scrape_plan": scrape_plan}
