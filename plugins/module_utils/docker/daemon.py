# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The docker daemon of a node: its daemon.json with who owns what in it, its unit, and what it runs.

The one place that reads and writes these; what to write is decided in ``config``.

PRIVATE to this collection.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common.files import write
from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import Finding, failed
from ansible_collections.fullrank.serving.plugins.module_utils.docker import config as docker_config
from ansible_collections.fullrank.serving.plugins.module_utils.docker import containers as docker_containers
from ansible_collections.fullrank.serving.plugins.module_utils.systemd import state as systemd_state
from ansible_collections.fullrank.serving.plugins.module_utils.systemd.unit_text import parse_show

# runs a command and gives (code, stdout, stderr): AnsibleModule.run_command
Run = Callable[..., "tuple[int, str, str]"]

DAEMON_JSON = "/etc/docker/daemon.json"
STATE = Path("/var/lib/fullrank/docker")
DEFAULT_ROOT = "/var/lib/docker"


@dataclass(frozen=True)
class Plan:
    """What daemon.json shall become; ``text`` is empty where there shall be none."""

    text: str
    changed: bool
    records: list[docker_config.Record]


class DaemonJson:
    """A daemon.json and, in a file beside the other state of this collection, who owns what in it."""

    def __init__(self, run: Run, path: str = DAEMON_JSON) -> None:
        self._run = run
        self.path = Path(path)
        self.exists = self.path.exists()
        self.text = self.path.read_text() if self.exists else ""
        self.config, self.problems = docker_config.parse(self.text, path)
        self._state = STATE / "owners.json"
        self._files = json.loads(self._state.read_text()) if self._state.exists() else {}
        known = self._files.get(path, {"made": not self.exists, "owners": {}})
        self._made: bool = known["made"]
        self.owners: dict[str, list[docker_config.Record]] = known["owners"]

    def plan(self, owner: str, wanted: Mapping[str, Any], append: Sequence[str] = ()) -> Plan:
        config, records = docker_config.merge(self.config, self.owners.get(owner, []), wanted, append)
        others = {name: theirs for name, theirs in self.owners.items() if name != owner}
        self.problems += docker_config.claimed(records, others, str(self.path))
        if docker_config.same(config, self.config):
            return Plan(self.text, False, records)
        # a file that was made for our keys alone goes with them
        return Plan(docker_config.render(config) if config or not self._made else "", True, records)

    def check(self, wanted: Mapping[str, Any], plan: Plan) -> list[Finding]:
        """Why dockerd would not start with the planned file; everything that can be found."""
        where = str(self.path)
        unit, flags = unit_flags(self._run)
        found = docker_config.in_both(wanted, flags, unit, where)
        if wanted.get("live-restore") and docker_containers.in_swarm(info(self._run)):
            message = "live-restore cannot be used while this node is part of a swarm"
            remedy = "leave the swarm (docker swarm leave), or leave live-restore out"
            found.append(failed("daemon-json-swarm", f"{where}, live-restore", message, remedy))
        return found or self._validate(plan.text or "{}")

    def _validate(self, text: str) -> list[Finding]:
        """Validate by dockerd itself, which can since version 23.0."""
        code, words, _error = self._run(["dockerd", "--help"]) if installed("dockerd") else (1, "", "")
        if code or "--validate" not in words:
            return []
        work = self.path.with_name(f".{self.path.name}.check")
        try:
            write(work, text, 0o600)
            code, output, error = self._run(["dockerd", "--validate", f"--config-file={work}"])
        finally:
            work.unlink(missing_ok=True)
        if not code:
            return []
        message = (error.strip() or output.strip()).splitlines()[-1].replace(str(work), str(self.path))
        return [
            failed(
                "daemon-json-refused", str(self.path), f"dockerd refuses it: {message}", "correct the key that it names"
            )
        ]

    def put(self, owner: str, plan: Plan) -> None:
        """Write the records of the owners, then the file: a value that differs from its record is left to the user."""
        owners = {name: records for name, records in {**self.owners, owner: plan.records}.items() if records}
        files = {**self._files, str(self.path): {"made": self._made, "owners": owners}}
        if not owners:
            del files[str(self.path)]
        if files != self._files:
            write(self._state, json.dumps(files, indent=1) + "\n", 0o600)  # proxies may hold passwords
        if plan.changed and plan.text:
            write(self.path, plan.text, self.path.stat().st_mode & 0o777 if self.exists else 0o644)
        elif plan.changed:
            self.path.unlink()


def installed(program: str) -> bool:
    return any((Path(folder) / program).exists() for folder in [*os.get_exec_path(), "/usr/sbin", "/usr/local/sbin"])


def started(run: Run) -> float:
    """When the main process of docker.service started, by the node's clock; 0 when it does not run."""
    properties = "--property=ActiveState,ExecMainStartTimestampMonotonic"
    shown = parse_show(run(["systemctl", "show", properties, "docker.service"], check_rc=True)[1])
    if shown.get("ActiveState") != "active":
        return 0
    return time.time() - time.monotonic() + int(shown["ExecMainStartTimestampMonotonic"]) / 1e6


def unit_flags(run: Run) -> tuple[list[str], dict[str, str]]:
    """The files of docker.service, and key of daemon.json → flag that its command line gives."""
    properties = "--property=ExecStart,Environment,EnvironmentFiles,FragmentPath,DropInPaths"
    _code, output, _error = run(["systemctl", "show", properties, "docker.service"], check_rc=True)
    shown = parse_show(output)
    environment = docker_config.environment_of(shown.get("Environment", "").replace(" ", "\n"))
    files = [shown.get("FragmentPath", ""), *shown.get("DropInPaths", "").split()]
    for line in output.splitlines():
        if line.startswith("EnvironmentFiles="):
            path = Path(line.partition("=")[2].partition(" (")[0])
            if path.is_file():
                environment.update(docker_config.environment_of(path.read_text()))
                files.append(str(path))
    return [file for file in files if file], docker_config.flags(shown.get("ExecStart", ""), environment)


def info(run: Run) -> dict[str, Any]:
    """``docker info`` as docker gives it; {} where no daemon answers. Never wakes a stopped daemon by its socket."""
    if not active(run, "docker.service"):
        return {}
    code, output, _error = run(["docker", "info", "--format={{json .}}"])
    try:
        found = json.loads(output) if not code else {}
    except ValueError:
        return {}
    return found if not found.get("ServerErrors") else {}


def active(run: Run, unit: str) -> bool:
    return run(["systemctl", "is-active", "--quiet", unit])[0] == 0


def containers(run: Run) -> list[dict[str, Any]]:
    """``docker inspect`` of every container; none where no daemon answers."""
    code, output, _error = run(["docker", "ps", "--all", "--quiet", "--no-trunc"])
    ids = output.split()
    if code or not ids:
        return []
    code, output, _error = run(["docker", "inspect", *ids])
    return list(json.loads(output or "[]"))


def engine_units(run: Run) -> list[str]:
    """Units of ranks that run in docker."""
    words = [
        "systemctl",
        "list-units",
        "--plain",
        "--no-legend",
        "--state=active,activating,reloading",
        *systemd_state.engine_units(),
    ]
    _code, output, _error = run(words, check_rc=True)
    active_units = [line.split()[0] for line in output.splitlines() if line.strip()]
    if not active_units:
        return []
    _code, output, _error = run(["systemctl", "show", "--property=Id,ExecStart", *active_units], check_rc=True)
    shown = [parse_show(block) for block in output.split("\n\n")]
    return [one["Id"] for one in shown if docker_containers.runs_docker(one.get("ExecStart", ""))]
