# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state of a node's routers, as their watchers report it. Private to this collection."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.router import files


def read(name: str) -> dict[str, Any]:
    """The watcher's last report: ``config`` (its digest), ``error``, ``ready``, ``servers``. Empty where none runs."""
    try:
        report: dict[str, Any] = json.loads(Path(files.run_folder(name), "status.json").read_text())
    except (OSError, ValueError):
        return {}
    return report


def state(routes: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Name of each route → ``url`` (without ``/v1``), ``runs``, ``ready`` and ``servers`` (name → ``ready``, ``summary``)."""
    found = {}
    for route in routes:
        report = read(route["name"])
        found[route["name"]] = {
            "url": route["url"],
            "runs": bool(report),
            "ready": bool(report.get("ready")),
            "servers": report.get("servers", {}),
        }
    return found


def line(name: str, router: Mapping[str, Any]) -> str:
    """Where a deployment is found, and how its replicas are."""
    servers = ", ".join(f"{server} {one['summary']}" for server, one in router["servers"].items())
    return f"{name} is found at {router['url']}/v1 ({servers if router['runs'] else 'its router does not run'})"
