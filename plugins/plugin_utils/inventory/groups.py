# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The child groups of ``deployments``, and variables of their hosts. Private to this collection."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory import certificates, serving, tasks
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.replicas import groups
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.roles import default
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.shape import PARENT, Deployment

ADDRESSES = (
    *certificates.VARIABLES,
    *tasks.VARIABLES,
    *serving.VARIABLES,
    "ansible_host",
    "engine_group_port",
    "engine_host",
    "engine_port",
    "engine_rendezvous_port",
    "engine_router_on_head",
    "router_deployments",
    "router_host",
    "router_port",
    "router_tls",
)
"""The variables that tell where something answers, and what."""


def deployments(task_vars: Mapping[str, Any]) -> list[Deployment] | None:
    """The deployments in the inventory's order; None when there is no group ``deployments``.

    Ansible gives plugins the hosts of every group (``groups``), but not which group is whose child: that only the inventory
    behind ``hostvars`` knows. This is the one private attribute of ansible-core that the collection reads (docs/decisions/001).
    """
    try:
        parent = task_vars["hostvars"]._inventory.groups.get(PARENT)
    except AttributeError as error:
        raise RuntimeError(f"this version of ansible-core hides the child groups of {PARENT!r}: {error}") from None
    if parent is None:
        return None
    hosts = task_vars["groups"]
    return [
        Deployment(group.name, tuple(hosts[group.name]), tuple(one.name for one in group.child_groups))
        for group in parent.child_groups
    ]


def hosts_of(task_vars: Mapping[str, Any], deployment: str) -> list[str]:
    """The hosts of a deployment, which is any group. ValueError, with the deployments that there are: there is no such group."""
    if deployment in task_vars["groups"]:
        return list(task_vars["groups"][deployment])
    known = ", ".join(one.name for one in deployments(task_vars) or [])
    raise ValueError(f"there is no deployment {deployment!r}: the inventory has {known or 'none'}")


def head_of(task_vars: Mapping[str, Any], deployment: str) -> str:
    """The first host of a deployment. ValueError: there is none."""
    hosts = hosts_of(task_vars, deployment)
    if not hosts:
        raise ValueError(f"the deployment {deployment!r} has no host")
    return hosts[0]


def replicas_of(task_vars: Mapping[str, Any], deployment: str, count: int | None = None) -> list[list[str]]:
    """The hosts of each replica of a deployment, which is any group. count: of the replicas, as the inventory has it when None.

    ValueError: there is no such group, or its hosts cannot be cut so.
    """
    hosts = hosts_of(task_vars, deployment)
    if count is None and hosts:
        count = int(task_vars["hostvars"][hosts[0]].get("engine_replicas", default("deployment", "engine_replicas")))
    return groups(hosts, count or 1)


def variables_of(
    task_vars: Mapping[str, Any], hosts: Iterable[str], names: Iterable[str] = ADDRESSES
) -> dict[str, dict[str, Any]]:
    """Host → those of the variables that the inventory has for it, evaluated."""
    wanted = tuple(names)
    found: dict[str, dict[str, Any]] = {}
    for host in hosts:
        host_vars = task_vars["hostvars"][host]
        found[host] = {name: host_vars[name] for name in wanted if name in host_vars}
    return found
