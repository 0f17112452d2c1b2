# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ranks that are on a node although the inventory has none of that deployment there. Pure; private to this collection.

After a deployment was renamed, or a host taken out of it, its unit runs on or waits for ever, and no verb of the new inventory
names it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.endpoints import Variables, machine


def left(
    found: Mapping[str, Sequence[str]],
    deployments: Mapping[str, Sequence[Sequence[str]]],
    variables: Mapping[str, Variables],
) -> list[dict[str, Any]]:
    """``host``, ``deployment`` and ``known`` (whether the inventory has it elsewhere), each machine once.

    found: host → deployments with a rank on its machine. deployments: of the inventory, name → the hosts of each replica.
    variables: host → its variables; one machine may have several names.
    """
    places = {
        name: {machine(host, variables) for ranks in replicas for host in ranks}
        for name, replicas in deployments.items()
    }
    seen: set[tuple[str, str]] = set()
    rows = []
    for host, names in found.items():
        here = machine(host, variables)
        for name in names:
            if here not in places.get(name, ()) and (here, name) not in seen:
                seen.add((here, name))
                rows.append({"host": host, "deployment": name, "known": name in places})
    return rows


def lines(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """What to do about each, in a line."""
    found = []
    for one in rows:
        where = f" -l {one['host']}" if one["known"] else ""
        why = f"{one['host']} is no host of it any more" if one["known"] else "it is not in this inventory"
        found.append(
            f"{one['host']} has a rank of deployment {one['deployment']}, and {why}; "
            f"remove it: playbooks/remove.yml -e deployment={one['deployment']}{where}"
        )
    return found


def expected(
    host: str, deployments: Mapping[str, Sequence[Sequence[str]]], variables: Mapping[str, Variables]
) -> list[str]:
    """The deployments that the inventory has on the machine of a host."""
    here = machine(host, variables)
    return [
        name
        for name, replicas in deployments.items()
        if any(machine(one, variables) == here for ranks in replicas for one in ranks)
    ]
