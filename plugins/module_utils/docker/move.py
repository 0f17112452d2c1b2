# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The move of docker's and containerd's data: what runs is stopped, the data copied and compared, docker started on the copy; and
the way back. Commands are run by the caller's function; where the data may go is decided in ``data_root``.

PRIVATE to this collection.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common import trees
from ansible_collections.fullrank.serving.plugins.module_utils.common.files import write
from ansible_collections.fullrank.serving.plugins.module_utils.docker import containers as docker_containers
from ansible_collections.fullrank.serving.plugins.module_utils.docker import daemon as docker_daemon
from ansible_collections.fullrank.serving.plugins.module_utils.docker import data_root
from ansible_collections.fullrank.serving.plugins.module_utils.docker.daemon import DAEMON_JSON, STATE, DaemonJson, Run
from ansible_collections.fullrank.serving.plugins.module_utils.docker.data_root import Move

OWNER = "docker_data_root"
CONTAINERD_TOML = Path("/etc/containerd/config.toml")
_DOCKER = ["docker.socket", "docker.service"]
_SHOWN = 5  # paths named in a message

Record = dict[str, Any]
"""What a move needs to be completed or taken back, also by a later call: ``moves``; ``files`` as they were before; ``images`` and
``containers`` that must be there afterwards; ``running`` containers and ``units`` of ranks that are started again."""


class MoveError(Exception):
    """The move cannot go on; the message is the reason."""


def mounts() -> str:
    return Path("/proc/self/mounts").read_text()


def containerd_text() -> str:
    return CONTAINERD_TOML.read_text() if CONTAINERD_TOML.exists() else ""


def daemon_plan(daemon: DaemonJson, path: str) -> docker_daemon.Plan:
    """``daemon.json`` with this data-root; the default one is not written."""
    target = os.path.normpath(path)
    return daemon.plan(OWNER, {} if target == docker_daemon.DEFAULT_ROOT else {"data-root": target})


def images(run: Run) -> set[str]:
    return set(run(["docker", "images", "--all", "--quiet", "--no-trunc"], check_rc=True)[1].split())


def record(run: Run, moves: Sequence[Move]) -> Record:
    """What there is before the move. Containers that are removed when they stop are not expected back."""
    containers = docker_daemon.containers(run)
    vanishing = docker_containers.vanishing(containers)
    files = (Path(DAEMON_JSON), CONTAINERD_TOML, STATE / "owners.json")
    return {
        "moves": [asdict(move) for move in moves],
        "files": {str(file): file.read_text() if file.exists() else None for file in files},
        "images": sorted(images(run)),
        "containers": [
            docker_containers.name(one) for one in containers if docker_containers.name(one) not in vanishing
        ],
        "running": [name for name in docker_containers.running(containers) if name not in vanishing],
        "units": docker_daemon.engine_units(run),
    }


class Mover:
    """Performs the moves of a record, or reverts them."""

    def __init__(self, run: Run, known: Record) -> None:
        self._run = run
        self.known = known

    @property
    def _services(self) -> list[str]:
        """The units that use what is moved, docker first."""
        return _DOCKER + ["containerd.service"] * any(move["what"] == "containerd" for move in self.known["moves"])

    def _do(self, *words: str) -> None:
        code, output, error = self._run(list(words))
        if code:
            lines = (error.strip() or output.strip()).splitlines()
            raise MoveError(f"{' '.join(words[:3])}: {'; '.join(lines[:3]) or f'status {code}'}")

    def _running(self) -> list[str]:
        return docker_containers.running(docker_daemon.containers(self._run))

    def there(self) -> None:
        """Move, and see that all is there that was there; MoveError or OSError when it is not."""
        self._stop()
        for move in self.known["moves"]:
            self._copy(Path(move["source"]), Path(move["target"]))
        self._switch()
        self._start()
        self.verify()

    def back(self) -> str:
        """Use the old folders again, and start what ran; empty when that went well, else what did not."""
        try:
            if docker_daemon.active(self._run, "docker.service"):
                self._stop()
            self._do("systemctl", "stop", *self._services)
            for path, text in self.known["files"].items():
                if text is not None:
                    mode = Path(path).stat().st_mode & 0o777 if Path(path).exists() else 0o644
                    write(Path(path), text, mode)
                else:
                    Path(path).unlink(missing_ok=True)
            for move in self.known["moves"]:
                trees.empty(Path(move["target"]))
            self._start()
            self._start_again()
        except (MoveError, OSError) as error:
            return str(error)
        return ""

    def verify(self) -> None:
        """Docker uses the new folder, all is there that was there, and what ran runs again."""
        root = docker_daemon.info(self._run).get("DockerRootDir")
        for move in self.known["moves"]:
            if move["what"] == "docker" and root != move["target"]:
                raise MoveError(f"docker uses {root} instead of {move['target']}")
        if missing := sorted({*self.known["images"]} - images(self._run)):
            raise MoveError(f"images are missing: {', '.join(missing[:_SHOWN])}")
        there = {docker_containers.name(one) for one in docker_daemon.containers(self._run)}
        if missing := sorted({*self.known["containers"]} - there):
            raise MoveError(f"containers are missing: {', '.join(missing[:_SHOWN])}")
        self._start_again()
        if ended := sorted({*self.known["running"]} - {*self._running()}):
            raise MoveError(f"containers do not run again: {', '.join(ended[:_SHOWN])}")

    def _stop(self) -> None:
        """End what runs, in an order in which nothing starts it again: ranks, containers, the socket with the daemon."""
        if self.known["units"]:
            self._do("systemctl", "stop", *self.known["units"])
        if still := self._running():
            self._do("docker", "stop", *still)
        self._do("systemctl", "stop", *self._services)
        for move in self.known["moves"]:
            held = data_root.in_use(mounts(), move["source"])
            if held:
                raise MoveError(f"{move['source']} is still in use: {', '.join(held[:_SHOWN])}")

    def _copy(self, source: Path, target: Path) -> None:
        """GNU cp keeps what layers consist of when it is root, and is on every node."""
        source.mkdir(parents=True, exist_ok=True)
        target.mkdir(parents=True, exist_ok=True)
        self._do("cp", "--archive", "--sparse=auto", f"{source}/.", str(target))
        self._do("sync", "--file-system", str(target))
        different = data_root.differences(trees.listing(source), trees.listing(target))
        if different:
            raise MoveError(f"the copy in {target} is not complete: {', '.join(different[:_SHOWN])}")

    def _switch(self) -> None:
        for move in self.known["moves"]:
            if move["what"] == "docker":
                daemon = DaemonJson(self._run)
                daemon.put(OWNER, daemon_plan(daemon, move["target"]))
            else:
                write(CONTAINERD_TOML, data_root.with_containerd_root(containerd_text(), move["target"]), 0o644)

    def _start(self) -> None:
        self._run(["systemctl", "reset-failed", *self._services])
        self._do("systemctl", "start", *reversed(self._services))

    def _start_again(self) -> None:
        """Start the containers and ranks that ran before."""
        down = sorted({*self.known["running"]} - {*self._running()})
        own = {unit.partition(".service")[0] for unit in self.known["units"]}
        if down := [name for name in down if name not in own]:
            self._do("docker", "start", *down)
        if self.known["units"]:
            self._do("systemctl", "start", *self.known["units"])
