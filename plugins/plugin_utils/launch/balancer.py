# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The launch of smg, the balancer behind a router. Private to this collection."""

from __future__ import annotations

from typing import Any

from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.files import read_catalog
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.router_routes import SMG
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.render import render


def balancer(route: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    """The command of smg, for the router alone: clients come by HAProxy, and behind smg requests go to HAProxy again."""
    port = route["balancer"]["port"]
    args = {
        "log_level": "warn",
        "prometheus_host": "127.0.0.1",
        "prometheus_port": port + 1,
        # what becomes of a request whose replica fails is decided behind it
        "disable_retries": True,
        "disable_circuit_breaker": True,
        **route["balancer"].pop("args"),
    }
    options = {
        "engine": SMG,
        "engine_version": params["smg_version"],
        "deployment": route["name"],
        "host": "127.0.0.1",
        "port": port,
        "venv": params["smg_venv"],
        "engine_args": args,
        "variable_prefix": "router_smg_",
    }
    return render(options, read_catalog(SMG))
