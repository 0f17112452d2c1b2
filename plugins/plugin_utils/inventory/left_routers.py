# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Routers that are on a node although the inventory routes nothing there any more. Pure; private to this collection.

Such a router serves on, by the keys that it was written with: a key that is taken out later is not taken from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.endpoints import Variables, machine


def left(
    found: Mapping[str, Sequence[str]], routers: Iterable[str], variables: Mapping[str, Variables]
) -> list[dict[str, Any]]:
    """``host`` and ``deployments`` of each machine that is none of ``routers`` and has routers, each machine once.

    found: host → the deployments whose router has a unit there. routers: hosts of the group ``router``; their own run removes
    what they route no more. variables: host → its variables; one machine may have several names.
    """
    seen = {machine(host, variables) for host in routers}
    rows = []
    for host, deployments in found.items():
        here = machine(host, variables)
        if deployments and here not in seen:
            seen.add(here)
            rows.append({"host": host, "deployments": list(deployments)})
    return rows


def lines(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """What to do about each, in a line."""
    found = []
    for one in rows:
        host, names = one["host"], one["deployments"]
        command = (
            f"ansible {host} -i INVENTORY -m fullrank.serving.router -a 'state=absent deployments={','.join(names)}'"
        )
        what = f"{host} still runs the router of {', '.join(names)}, with the keys that it had when {host} left the group router"
        found.append(f"{what}; take it away: {command}")
    return found
