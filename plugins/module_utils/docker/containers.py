# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs in docker, and what a stop of the daemon would end. Pure; private to this collection."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.systemd import names


def runs_docker(exec_start: str) -> bool:
    """Whether a unit's ExecStart, as ``systemctl show`` prints it, is the docker client.

    >>> runs_docker("{ path=/usr/bin/docker ; argv[]=/usr/bin/docker run x ; pid=1 }")
    True
    """
    return bool(re.search(r"path=(?:\S*/)?docker ;", exec_start))


def in_swarm(info: Mapping[str, Any]) -> bool:
    return (info.get("Swarm") or {}).get("LocalNodeState", "inactive") not in ("inactive", "")


def name(container: Mapping[str, Any]) -> str:
    return str(container.get("Name", "")).lstrip("/")


def running(containers: Sequence[Mapping[str, Any]]) -> list[str]:
    """The names of the containers that run."""
    return sorted(name(one) for one in containers if (one.get("State") or {}).get("Running"))


def vanishing(containers: Sequence[Mapping[str, Any]]) -> list[str]:
    """The running containers that are removed when they stop (``docker run --rm``)."""
    return sorted(name(one) for one in containers if name(one) in running(containers) and _host(one).get("AutoRemove"))


def stay_down(containers: Sequence[Mapping[str, Any]]) -> list[str]:
    """The running containers that a restart of the daemon would end for good: no restart policy brings them back."""
    restarting = ("always", "unless-stopped", "on-failure")
    return sorted(
        name(one)
        for one in containers
        if name(one) in running(containers) and (_host(one).get("RestartPolicy") or {}).get("Name") not in restarting
    )


def engines(containers: Sequence[Mapping[str, Any]], units: Sequence[str]) -> list[str]:
    """Ranks that run in docker: units, and containers that no unit of ours started (a compose file)."""
    started = {names.container_of(unit) for unit in units}
    ours = [one for one in running(containers) if one.startswith(names.ENGINE_CONTAINERS)]
    return sorted({*units, *(one for one in ours if one not in started)})


def together(engines: Sequence[str], containers: Sequence[str]) -> list[str]:
    """Ranks and containers, each rank once, as its unit where it has one.

    >>> together(["fullrank-rank@a.service"], ["fullrank-rank-a", "job"])
    ['fullrank-rank@a.service', 'job']
    """
    started = {names.container_of(unit) for unit in engines}
    return sorted({*engines, *(one for one in containers if one not in started)})


def _host(container: Mapping[str, Any]) -> Mapping[str, Any]:
    return container.get("HostConfig") or {}
