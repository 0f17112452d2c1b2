# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The names of a deployment on its nodes: units, containers, files. Pure; private to this collection.

A unit is an instance with a file of its own: what stands before the ``@`` tells what it is, what stands behind it whose. So units
of two deployments never have one name, whatever the deployments are called, and ``fullrank-rank@*`` are the engines.
"""

from __future__ import annotations

import re

CONFIG = "/etc/fullrank"
PROGRAMS = "/usr/local/lib/fullrank"
UNITS = "/etc/systemd/system"

ENGINE_UNITS = "fullrank-rank@*.service"
ENGINE_CONTAINERS = "fullrank-rank-"
"""The containers of engines begin with it: a container's name cannot have an ``@``."""

FORMER_UNITS = "/run/systemd/system"
"""Where the unit of an engine that runs by its former name lies until it ends; such an engine does not outlive a boot."""

LONGEST = 200
"""Characters of a deployment's name: names of files (NAME_MAX) and units have at most 255, and we put something around it."""
RESERVED = ("webui",)
"""/etc/fullrank/webui.secret.env is Open WebUI's."""
OWN_PARTS = frozenset(
    (
        "drain",
        "group",
        "json",
        "key",
        "logging",
        "previous",
        "ray",
        "ready",
        "secret",
        "supervisor",
        "token",
        "vllm",
        "yaml",
        "yml",
    )
)
"""What stands behind a dot in names of files: with ``a.key`` beside ``a``, ``group_vars/a.key.yml`` would be two things."""
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


def refused(deployment: str) -> str:
    """Why no unit, container or file can have this name of a deployment; empty when all can."""
    if not _NAME.fullmatch(deployment):
        return "units, containers and files have it in their names, and cannot"
    if len(deployment) > LONGEST:
        return f"it has {len(deployment)} characters, and names of units and files leave room for {LONGEST}"
    if own := OWN_PARTS.intersection(deployment.split(".")[1:]):
        return f"files of another deployment could be called so: .{min(own)} is how they end"
    if deployment in RESERVED:
        return "something else of this collection has files of this name"
    return ""


def rank_unit(deployment: str) -> str:
    """The unit of this node's engine in ``deployment``, e.g. ``fullrank-rank@deepseek_r1.service``."""
    return f"fullrank-rank@{deployment}.service"


def rank_container(deployment: str) -> str:
    """The container of this node's engine, where it runs in one, e.g. ``fullrank-rank-deepseek_r1``."""
    return f"{ENGINE_CONTAINERS}{deployment}"


def container_of(unit: str) -> str:
    """The container that a unit of an engine runs, if it runs one.

    >>> container_of("fullrank-rank@tiny.service")
    'fullrank-rank-tiny'
    """
    return unit.removesuffix(".service").replace("@", "-")


def supervisor_unit(deployment: str) -> str:
    """The unit of this node's supervisor in ``deployment``, e.g. ``fullrank-supervisor@deepseek_r1.service``."""
    return f"fullrank-supervisor@{deployment}.service"


def router_unit(deployment: str) -> str:
    """The unit of this node's router of ``deployment``, e.g. ``fullrank-router@deepseek_r1.service``."""
    return f"fullrank-router@{deployment}.service"


def balancer_unit(deployment: str) -> str:
    """The unit of the smg behind this node's router of ``deployment``, e.g. ``fullrank-smg@deepseek_r1.service``."""
    return f"fullrank-smg@{deployment}.service"


_OF_DEPLOYMENT = re.compile(r"fullrank-(?:rank|supervisor|router|smg)@(.+)\.service")


def deployment_of(unit: str) -> str:
    """The deployment whose unit or container of ours it is, by its name; empty for anything else.

    >>> deployment_of("fullrank-rank@solo.service"), deployment_of("fullrank-rank-solo"), deployment_of("nginx.service")
    ('solo', 'solo', '')
    """
    if found := _OF_DEPLOYMENT.fullmatch(unit):
        return found[1]
    return unit[len(ENGINE_CONTAINERS) :] if unit.startswith(ENGINE_CONTAINERS) else ""


def supervisor_program(deployment: str) -> str:
    """The folder of the supervisor's program, which each deployment updates at its own time."""
    return f"{PROGRAMS}/supervisor/{deployment}"


def supervisor_config(deployment: str) -> str:
    """The supervisor's configuration."""
    return f"{CONFIG}/{deployment}.supervisor.json"


def supervisor_secret(deployment: str) -> str:
    """What of its configuration only root may read: the supervisors' key, and on the head the API key."""
    return f"{CONFIG}/{deployment}.supervisor.secret.json"


def previous_launch(deployment: str) -> str:
    """The launch that the present one replaced, where the deployment was ready with it; only root may read it."""
    return f"{CONFIG}/{deployment}.previous.json"


def ready_mark(deployment: str) -> str:
    """The hash of the last launch with which the deployment was ready, as its supervisor noted it."""
    return f"/var/lib/fullrank/{deployment}.ready"


def run_lock(deployment: str) -> str:
    """Which run is at work on the deployment, on its head. In /run: a boot ends it."""
    return f"/run/fullrank/{deployment}.run.json"


def drain_mark(deployment: str) -> str:
    """While it is there the deployment is not ready for new requests. In /run: a boot ends it."""
    return f"/run/fullrank/{deployment}.drain"


# What the first versions called the same; gone from a node with its first run of today's (rank/former.py).


def former_rank_unit(deployment: str) -> str:
    """The engine's unit."""
    return f"fullrank-{deployment}.service"


def former_container(deployment: str) -> str:
    """The engine's container."""
    return f"fullrank-{deployment}"


def former_supervisor_unit(deployment: str) -> str:
    """The supervisor's unit."""
    return f"fullrank-{deployment}-group.service"


def former_router_unit(deployment: str) -> str:
    """The router's unit."""
    return f"fullrank-router-{deployment}.service"


def former_config(deployment: str) -> str:
    """The supervisor's configuration."""
    return f"{CONFIG}/{deployment}.group.json"


def former_secret(deployment: str) -> str:
    """What of it only root may read."""
    return f"{CONFIG}/{deployment}.group.secret.json"


def of_rank(deployment: str) -> list[str]:
    """Units and containers that are this node's rank, by today's names and by the former ones."""
    return [
        rank_unit(deployment),
        rank_container(deployment),
        supervisor_unit(deployment),
        former_rank_unit(deployment),
        former_container(deployment),
        former_supervisor_unit(deployment),
    ]
