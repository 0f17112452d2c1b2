# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tags of ``site.yml``: one for each step, one for each role of the nodes. Pure; private to this collection.

Ansible runs nothing, and reports success, where no task has a tag that was requested for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import Finding, warned
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.roles import NODES_ROLES
from ansible_collections.fullrank.serving.plugins.plugin_utils.values import spelling

STEPS: Mapping[str, str] = {
    "nodes": "gpu_nodes",
    "preflight": "deployments",
    "weights": "deployments",
    "engines": "deployments",
    "router": "router",
    "webui": "webui",
    "monitoring": "monitoring",
    "verify": "deployments",
}
"""Tag of a step, in the order of ``site.yml`` → the group on which it works."""
ANSIBLES = frozenset({"all", "tagged", "untagged", "always", "never"})
"""What these words mean is Ansible's."""


def check(requested: Iterable[str], groups: Mapping[str, Collection[str]], chosen: Collection[str]) -> list[Finding]:
    """Tags by which nothing runs.

    requested: of ``--tags``. groups: name → hosts. chosen: roles that ``nodes_roles`` of any host has. A tag that is not known
    here may be that of a play of the user's own: only where none is known there is a finding.
    """
    requested = [tag for tag in requested if tag not in ANSIBLES]
    known = [*STEPS, *NODES_ROLES]
    findings = []
    if requested and not set(requested) & set(known):
        near = spelling.misspelt(requested[0], known)
        findings.append(
            warned(
                "tags-unknown",
                f"--tags {','.join(requested)}",
                "no step has such a tag, and nothing but the check of the inventory runs",
                f"write {near}" if near else f"write some of {', '.join(known)}",
            )
        )
    for tag in requested:
        if tag in NODES_ROLES and tag not in chosen:
            message = f"nodes_roles of no host has {tag}, and its tasks are skipped"
            findings.append(warned("tags-without-role", f"--tags {tag}", message, f"write nodes_roles: [{tag}]"))
        elif tag in STEPS and not groups.get(STEPS[tag]):
            message = f"the inventory has no host in group {STEPS[tag]}, and the step is skipped"
            findings.append(warned("tags-without-group", f"--tags {tag}", message, f"write the group {STEPS[tag]}"))
    return findings
