# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ``--limit`` may leave of the inventory. Pure; private to this collection.

The ranks of a replica start and stop together, so a verb that changes or computes them takes all of a replica or nothing of it
(docs/decisions/168). A verb that only looks takes any host.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import Finding, failed
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.replicas import labelled

NOTHING, REPLICAS, DEPLOYMENTS = "nothing", "replicas", "deployments"
WHOLE = (NOTHING, REPLICAS, DEPLOYMENTS)
"""What a run must have all hosts of."""

Cut = Mapping[str, Sequence[Sequence[str]]]
"""Deployment → the hosts of each of its replicas."""


def check(cut: Cut, hosts: Collection[str], whole: str, sent: Collection[str] = ()) -> list[Finding]:
    """Replicas of which the run has some hosts and others not.

    hosts: of this run. whole: one of `WHOLE`. sent: deployments whose weights go from node to node, whatever replica a node
    serves; with `DEPLOYMENTS` all of their hosts are needed.
    """
    if whole == NOTHING:
        return []
    units = {
        name: ranks
        for name, (deployment, ranks) in labelled(cut).items()
        if whole == REPLICAS or deployment not in sent
    }
    if whole == DEPLOYMENTS:
        units |= {name: [host for ranks in cut[name] for host in ranks] for name in cut if name in sent}
    findings = []
    for name, ranks in units.items():
        missing = [host for host in ranks if host not in hosts]
        if missing and len(missing) < len(ranks):
            there = [host for host in ranks if host in hosts]
            findings.append(
                failed(
                    "limit-cuts-replica",
                    "--limit",
                    f"it has {_listed(there)} of {name} and not {_listed(missing)}; ranks of one group start and stop together",
                    f"add {','.join(missing)} to --limit",
                    add=missing,
                )
            )
    return findings


def empty(groups: Mapping[str, Sequence[str]], hosts: Collection[str], needed: Iterable[str]) -> list[Finding]:
    """A run without any host of the groups that its playbook works on. groups: name → hosts of the inventory."""
    named = [name for name in needed if groups.get(name)]
    if not named or any(host in hosts for name in named for host in groups[name]):
        return []
    return [
        failed(
            "limit-without-hosts",
            "--limit",
            f"it has no host of {' or '.join(named)}: there would be nothing to do",
            "name a group or a host of the inventory's, or leave it out",
        )
    ]


def _listed(hosts: Sequence[str]) -> str:
    return ", ".join(hosts[:4]) + (f" and {len(hosts) - 4} more" if len(hosts) > 4 else "")
