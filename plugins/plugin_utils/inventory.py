# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deployments and ranks as the inventory states them. Pure; private to this collection."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.fullrank.serving.plugins.plugin_utils.findings import Finding, fail

PARENT = "deployments"
"""The group whose child groups are the deployments."""
MACHINES = "gpu_nodes"
"""The group of every machine once; the roles of the nodes read the variables of its hosts."""


@dataclass(frozen=True)
class Deployment:
    """One served model: an inventory group and its hosts in rank order."""

    name: str
    hosts: tuple[str, ...]


def check(
    deployments: Sequence[Deployment] | None, variables: Mapping[str, Mapping[str, Any]], required: bool = True
) -> list[Finding]:
    """What is wrong with the shape of the inventory.

    deployments: the child groups of ``deployments``, None when there is no such group.
    variables: host → its variables; ``ansible_host``, ``engine_port``, ``engine_rendezvous_port`` and ``engine_group_port`` are
    looked at.
    required: whether there must be one; nodes can be prepared before anybody knows what they will serve.
    """
    if not deployments:
        return (
            []
            if not required
            else [
                fail(
                    "no-deployment",
                    f"group {PARENT}",
                    "the inventory has no such group" if deployments is None else "the group has no child group",
                    f"write one child group of '{PARENT}' for every model that is to be served, with its hosts in rank order",
                )
            ]
        )
    return [*_empty(deployments), *_several(deployments), *_shared_ports(deployments, variables)]


def misspelt(given: Iterable[str], roles: Mapping[str, Collection[str]], where: str) -> list[Finding]:
    """Variables that nobody reads although somebody meant them to be read.

    given: names of variables. roles: role → the names of its options. A name that begins with a role's name, is none of the
    options of any role and is almost one of them (difflib's ratio of at least 0.85) is refused; anything else is the user's own.
    """
    known = {option for options in roles.values() for option in options}
    ours = [name for name in sorted(set(given) - known) if any(name.startswith(f"{role}_") for role in roles)]
    meant = {name: difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.85) for name in ours}
    return [
        fail("unknown-variable", where, f"nothing reads {name}", f"write {near[0]}, or give it another name")
        for name, near in meant.items()
        if near
    ]


def _empty(deployments: Sequence[Deployment]) -> list[Finding]:
    return [
        fail("empty-deployment", f"group {one.name}", "the deployment has no hosts", "name its hosts, rank 0 first")
        for one in deployments
        if not one.hosts
    ]


def _several(deployments: Sequence[Deployment]) -> list[Finding]:
    places: dict[str, list[str]] = {}
    for one in deployments:
        for host in one.hosts:
            places.setdefault(host, []).append(one.name)
    return [
        fail(
            "host-in-two-deployments",
            f"host {host}",
            f"it stands in {' and '.join(names)}",
            "give the machine a second host name with the same ansible_host, and each name its own engine_gpus",
        )
        for host, names in places.items()
        if len(names) > 1
    ]


def _shared_ports(deployments: Sequence[Deployment], variables: Mapping[str, Mapping[str, Any]]) -> list[Finding]:
    """Two heads on one machine need ports of their own."""
    taken: dict[tuple[str, int], str] = {}
    findings = []
    for one in deployments:
        if not one.hosts:
            continue
        head = one.hosts[0]
        given = variables.get(head, {})
        machine = str(given.get("ansible_host", head))
        for variable in ("engine_port", "engine_rendezvous_port", "engine_group_port"):
            port = str(given.get(variable, ""))
            if not port.isdecimal():  # not set, or wrong: that is said elsewhere
                continue
            other = taken.setdefault((machine, int(port)), f"{variable} of {one.name}")
            if other != f"{variable} of {one.name}":
                findings.append(
                    fail(
                        "port-used-twice",
                        f"{variable} of {one.name}",
                        f"{port} on {machine} is also {other}",
                        "give each deployment on a machine ports of its own",
                    )
                )
    return findings
