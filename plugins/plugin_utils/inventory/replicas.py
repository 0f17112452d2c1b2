# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Replicas: a deployment's hosts, cut into equal groups that serve the same model. Pure; private to this collection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def groups(hosts: Sequence[str], replicas: int) -> list[list[str]]:
    """The hosts of each replica, in rank order: the first of them are replica 0.

    ValueError: the hosts cannot be cut into so many equal groups.
    """
    if replicas < 1 or len(hosts) % replicas or not hosts:
        raise ValueError(f"{len(hosts)} hosts cannot be cut into {replicas} equal groups")
    each = len(hosts) // replicas
    return [list(hosts[first : first + each]) for first in range(0, len(hosts), each)]


def label(deployment: str, replica: int, replicas: int) -> str:
    """What people call a replica: the deployment, with a number where it has several."""
    return deployment if replicas == 1 else f"{deployment} replica {replica}"


def place(deployment: str, hosts: Sequence[str], host: str, replicas: int) -> dict[str, Any]:
    """Where a host stands in its deployment, as the filter ``replica`` documents it.

    ValueError: the host is not among the hosts, or these cannot be cut so.
    """
    cut = groups(hosts, replicas)
    if host not in hosts:
        raise ValueError(f"{host} is not a host of {deployment}")
    number = hosts.index(host) // len(cut[0])
    own = cut[number]
    return {
        "replica": number,
        "replicas": replicas,
        "label": label(deployment, number, replicas),
        "hosts": own,
        "rank": own.index(host),
        "head": own[0],
        "others": [other for other in own if other != host],
        "heads": [each[0] for each in cut],
    }


def labelled(deployments: Mapping[str, Sequence[Sequence[str]]]) -> dict[str, tuple[str, list[str]]]:
    """Label → (deployment, hosts in rank order) of every replica.

    deployments: name → the hosts of each replica.
    """
    return {
        label(name, number, len(cut)): (name, list(hosts))
        for name, cut in deployments.items()
        for number, hosts in enumerate(cut)
    }
