# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The systemd units of a rank, its engine's and its supervisor's, as text. Pure; private to this collection."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.systemd import hardening, names
from ansible_collections.fullrank.serving.plugins.module_utils.systemd.unit_text import (
    SPEC_HASH_VARIABLE,
    command,
    environment,
    escape,
    render,
)

_UNIT = """\
[Unit]
Description={description}
Wants={after}
After={after}

[Service]
Type=exec
{before}ExecStart={exec_start}
{behind}{environment}
SyslogIdentifier={identifier}
# A rank that comes back alone cannot join the group it left: the supervisors start all ranks together, after a boot too.
Restart=no
# engines start helpers of their own; all of them end with the rank
KillMode=control-group
TimeoutStopSec={stop_timeout}
# registered (RDMA) memory, sockets and threads of an engine exceed the defaults of a service
LimitMEMLOCK=infinity
LimitNOFILE=1048576
TasksMax=infinity
{user}
{limits}"""

_SUPERVISOR_UNIT = """\
[Unit]
Description={description}, supervisor
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart=/usr/bin/python3 -m {package}.supervisor.agent {config} {secret}
ExecReload=/bin/kill -HUP $MAINPID
Environment=PYTHONPATH={program} PYTHONDONTWRITEBYTECODE=1
SyslogIdentifier={identifier}
# it finds again what it supervises
Restart=always
RestartSec=1
WatchdogSec=20
WatchdogSignal=SIGKILL
# on SIGTERM it stops its engine, in the time that the engine is given; that signal is not for the systemctl with which it does so
KillMode=mixed
TimeoutStopSec={stop_timeout}
# a node that is short of time or memory must not lose it first: before others in its control group, and before other groups
Nice=-10
CPUWeight=1000
OOMScoreAdjust=-900
{limits}ProtectHome=yes

[Install]
WantedBy=multi-user.target
"""

# A container lives in its runtime's daemon, not below its unit: what an end without ceremony (SIGKILL, a power cut) left behind
# goes before the start, and nothing outlives the unit. Where its client has gone (no MAINPID) it is not asked: it is removed.
_CONTAINER_BEFORE = """\
ExecStartPre=-{runtime} rm --force {name}
"""
_CONTAINER_BEHIND = """\
ExecStop=/bin/sh -c 'test -z "$$MAINPID" || exec {runtime} stop -t {stop_timeout} {name}'
ExecStopPost=-{runtime} rm --force {name}
"""
_REMOVAL_S = 30  # what the runtime is given to remove the container after the engine has ended
_DAEMONS = {"docker": "docker.service", "nerdctl": "containerd.service"}  # podman has none
SUPERVISOR_PACKAGE = "fullrank_supervisor"
"""The supervisor's program on a node: a Python package of this name, in a folder of its own for each deployment."""

# An engine compiles code for GPUs; processes of one node hand each other a GPU's memory by file descriptors (pidfd_getfd(2)).
_ENGINE: dict[str, Any] = {
    "devices": True,
    "generates_code": True,
    "system_calls": (*hardening.UNPRIVILEGED, "pidfd_getfd"),
}
_AS_ROOT = ("CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_CHOWN", "CAP_IPC_LOCK", "CAP_SYS_NICE", "CAP_SYS_RESOURCE")
"""What an engine keeps that is not to run as a user of its own: files of others, memory, and priorities."""
# A supervisor reads processes of its rank (/proc/PID/environ, its sockets) and READY of weights, which belong to other users. It
# notes a launch in /etc/fullrank, and removes a unit that an earlier version wrote.
_SUPERVISOR: dict[str, Any] = {
    "capabilities": ("CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH", "CAP_NET_BIND_SERVICE"),
    "sees_processes": True,
}
_SUPERVISOR_FILES = ("ProtectSystem=full", "ReadWritePaths=-/etc/fullrank /etc/systemd/system")

# An engine needs no account of its own and nothing but its state directory to write to (systemd.exec(5), DynamicUser=).
_DYNAMIC_USER = """\
DynamicUser=yes
StateDirectory=fullrank/{deployment}
Environment=HOME=%S/fullrank/{deployment}"""


def engine_of(unit: str) -> str:
    """``vllm 0.32.0`` of a unit's text, whose description is ``tiny: rank 0 of 2, vllm 0.32.0``; empty when there is none."""
    described = re.search(r"^Description=.*, ([^,\n]+)$", unit, re.MULTILINE)
    return described[1].replace("%%", "%") if described else ""


def render_supervisor_unit(*, deployment: str, description: str, stop_timeout: int, runtime: str = "") -> str:
    """The supervisor's unit file. ``stop_timeout``: of the engine, in seconds. ``runtime``: name of the engine's container
    runtime, which the supervisor calls too; empty without one.
    """
    limits = [*hardening.lines(**_SUPERVISOR), *_SUPERVISOR_FILES] if needs_little(runtime) else ["NoNewPrivileges=yes"]
    return render(
        _SUPERVISOR_UNIT,
        description=escape(description),
        package=SUPERVISOR_PACKAGE,
        program=names.supervisor_program(deployment),
        config=names.supervisor_config(deployment),
        secret=names.supervisor_secret(deployment),
        identifier=names.supervisor_unit(deployment).removesuffix(".service"),
        stop_timeout=stop_timeout + 30,
        limits=_text(limits),
    )


def needs_little(runtime: str) -> bool:
    """Whether calls of a container runtime can be confined; empty for none."""
    return runtime in ("", "docker")


def _text(lines: Sequence[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def render_unit(
    *,
    deployment: str,
    description: str,
    argv: Sequence[str],
    env: Mapping[str, str],
    spec_hash: str,
    environment_file: str,
    load_credential: str,
    stop_timeout: int,
    dynamic_user: bool,
    container: Mapping[str, str] | None = None,
) -> str:
    """The whole unit file.

    ``argv``: the command in the foreground, its first word an absolute path (systemd.service(5) demands it).
    ``env``: what is not secret. ``environment_file``: path of the file (mode 0600) with what is; empty when nothing is.
    ``load_credential``: such a file for an engine that reads it itself, ``NAME:PATH``; empty when there is none.
    ``stop_timeout``: seconds until SIGKILL. ``dynamic_user``: not as root. ``container``: its ``name``
    and ``runtime``, where ``argv`` runs one; its environment is in ``argv``.
    """
    variables = {**({} if container else env), SPEC_HASH_VARIABLE: spec_hash}
    after = ["network-online.target"]
    before = behind = ""
    if container:
        words = {"runtime": container["runtime"], "name": container["name"], "stop_timeout": stop_timeout}
        before, behind = _CONTAINER_BEFORE.format(**words), _CONTAINER_BEHIND.format(**words)
        after += [_DAEMONS[container["runtime"]]] if container["runtime"] in _DAEMONS else []
    lines = [environment(dict(sorted(variables.items())))]
    if environment_file:
        lines.append(f"EnvironmentFile={environment_file}")
    if load_credential:
        lines.append(f"LoadCredential={load_credential}")
    return render(
        _UNIT,
        description=escape(description),
        after=" ".join(after),
        before=before,
        behind=behind,
        exec_start=command(argv),
        environment="\n".join(lines),
        identifier=names.rank_unit(deployment).removesuffix(".service"),
        stop_timeout=stop_timeout + (_REMOVAL_S if container else 0),
        user=_DYNAMIC_USER.format(deployment=deployment) if dynamic_user else "User=root",
        limits=_text(_limits(container["runtime"] if container else "", dynamic_user)),
    )


def _limits(runtime: str, dynamic_user: bool) -> list[str]:
    """What the rank's unit may not do. runtime: of its container, empty for a process."""
    if runtime:
        return [*hardening.lines(), *hardening.CLIENT_OF_DAEMON] if needs_little(runtime) else []
    return hardening.lines(**_ENGINE, capabilities=() if dynamic_user else _AS_ROOT)
