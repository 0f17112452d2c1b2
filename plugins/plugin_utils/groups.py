# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The child groups of ``deployments``. Private to this collection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory import PARENT, Deployment


def deployments(task_vars: Mapping[str, Any]) -> list[Deployment] | None:
    """The deployments in the inventory's order; None when there is no group ``deployments``.

    Ansible gives plugins the hosts of every group (``groups``), but not which group is whose child: that only the inventory
    behind ``hostvars`` knows. This is the one place that looks there (docs/decisions/001).
    """
    parent = task_vars["hostvars"]._inventory.groups.get(PARENT)
    if parent is None:
        return None
    hosts = task_vars["groups"]
    return [Deployment(group.name, tuple(hosts[group.name])) for group in parent.child_groups]
