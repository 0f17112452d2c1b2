# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Preflight: whether we may work on the node, and what an earlier inventory left on it.

PRIVATE to this collection.
"""

from __future__ import annotations

from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import Finding, failed, passed, warned
from ansible_collections.fullrank.serving.plugins.module_utils.node.reader import Host
from ansible_collections.fullrank.serving.plugins.module_utils.systemd import state

STATUS = "/proc/self/status"


def check_root(host: Host, wanted: dict[str, Any]) -> list[Finding]:
    """Every step behind this one writes to /etc and asks systemd. The effective user is the second of the line ``Uid:``."""
    for line in (host.read(STATUS) or "").splitlines():
        if line.startswith("Uid:"):
            user = line.split()[2]
            if user != "0":
                remedy = "set ansible_become: true, or log in as root"
                return [failed("root", "login", f"not root, but user {user}", remedy, user=int(user))]
            return [passed("root", "login", "root")]
    return []


def check_leftovers(host: Host, wanted: dict[str, Any]) -> list[Finding]:
    """Ranks of deployments that the inventory does not have on this machine: they hold memory and ports, or wait for ever."""
    if wanted["expected"] is None:
        return []
    found = [
        warned(
            "left-rank",
            f"deployment {name}",
            "this node has a rank of it, and the inventory has none here",
            f"run playbooks/remove.yml -e deployment={name}",
            deployment=name,
        )
        for name in state.deployments(host.root)
        if name not in wanted["expected"]
    ]
    return found or [passed("left-rank", "units", "no rank of a deployment that the inventory does not have here")]
