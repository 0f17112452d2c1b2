#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Docker's data in another folder, with all that is there."""

from __future__ import annotations

DOCUMENTATION = r"""
module: docker_data_root
version_added: 0.1.0
short_description: Move docker's data-root, and containerd's root, with images and containers
description:
  - Makes docker keep its data in O(path). What it has is copied there with everything that layers of images consist of
    (extended attributes, device nodes, hard links, owners), compared, and only then used.
  - Looks before it starts whether there is room, whether the folder is empty and on a fitting file system, whether a mount
    would be left behind, and whether ranks run in docker; all findings come at once, and nothing was changed.
  - Stops what runs, and starts it again afterwards. Fails, and goes back to the old folder, when the copy is not complete,
    docker does not come up, an image or a container is missing, or a container that ran does not run again.
  - An interrupted move is taken back, or completed where docker already uses the new folder, by the next call.
  - The old folder stays until O(remove_old). Until then it is the way back.
options:
  path:
    description: Docker's data-root, the key C(data-root) of C(daemon.json).
    type: path
    required: true
  containerd_path:
    description:
      - Root of containerd, in C(/etc/containerd/config.toml). Left alone when not set.
      - Needed where docker keeps its images in containerd, as new installations of docker 29 and newer do; O(path) alone would
        move little there, and is refused.
    type: path
  restart_ok:
    description: Also under ranks, and containers that are removed when they stop (C(--rm)).
    type: bool
    default: false
  remove_old:
    description: Remove what was left in old folders by this module's moves, once docker runs from O(path).
    type: bool
    default: false
attributes:
  check_mode:
    description: Asks and compares, copies nothing.
    support: full
  diff_mode:
    description: Shows the folders before and after.
    support: full
  idempotent:
    description: Nothing is touched where docker uses O(path).
    support: full
notes:
  - Docker runs when this is called.
author:
  - The fullrank authors (@fullrank)
"""

EXAMPLES = r"""
- name: Images on the large disk
  fullrank.serving.docker_data_root:
    path: /data/docker
    containerd_path: /data/containerd
"""

RETURN = r"""
moved:
  description: What was moved, or would be.
  returned: success
  type: list
  elements: dict
  sample: [{"what": "docker", "source": "/var/lib/docker", "target": "/data/docker", "bytes": 734003200}]
started_again:
  description: The units and containers that were stopped for the move and run again.
  returned: success
  type: list
  elements: str
old_roots:
  description: Folders that docker used before and that are kept.
  returned: success
  type: list
  elements: str
findings:
  description: Why nothing was done; each with id, where, message and remedy.
  returned: failure before a change
  type: list
  elements: dict
"""

import json
import os
import shutil
import stat
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fullrank.serving.plugins.module_utils import docker_daemon, docker_roots, docker_running
from ansible_collections.fullrank.serving.plugins.module_utils.checks import Check, failed, report
from ansible_collections.fullrank.serving.plugins.module_utils.docker_daemon import (
    DAEMON_JSON,
    STATE,
    DaemonJson,
    write,
)
from ansible_collections.fullrank.serving.plugins.module_utils.docker_roots import Move, Place

OWNER = "docker_data_root"
CONTAINERD_TOML = Path("/etc/containerd/config.toml")
UNITS = ["docker.socket", "docker.service"]
LOST_AND_FOUND = "lost+found"  # every new ext4 has one
SHOWN = 5  # paths named in a message


class MoveError(Exception):
    """The move cannot go on; the message says why."""


def mounts() -> str:
    return Path("/proc/self/mounts").read_text()


def existing_parent(path: Path) -> Path:
    return next(one for one in (path, *path.parents) if one.exists())


def place(path: Path) -> Place:
    """What is at a target today, or at the nearest folder above it that exists."""
    there = existing_parent(path)
    numbers = os.statvfs(there)
    rows = [line.split()[1:3] for line in mounts().splitlines()]
    mounted = [row for row in rows if Path(row[0]) == there or Path(row[0]) in there.parents]
    kind = max(reversed(mounted), key=lambda row: len(row[0]))[1]
    entries = tuple(sorted(one.name for one in path.iterdir() if one.name != LOST_AND_FOUND)) if path.is_dir() else ()
    free_inodes = numbers.f_favail if numbers.f_files else None
    return Place(kind, there.stat().st_dev, numbers.f_bavail * numbers.f_frsize, free_inodes, entries)


def used(folder: Path) -> tuple[int, int]:
    """Bytes on disk and number of inodes below a folder; hard links count once."""
    seen: dict[tuple[int, int], int] = {}
    for path, _ in walk(folder):
        status = path.lstat()
        seen[status.st_dev, status.st_ino] = status.st_blocks * 512
    return sum(seen.values()), len(seen)


def walk(folder: Path) -> list[tuple[Path, str]]:
    """Everything below a folder as (path, path from the folder)."""
    found = []
    for parent, folders, files in os.walk(folder):
        base = os.path.relpath(parent, folder)
        found += [(Path(parent) / name, os.path.normpath(os.path.join(base, name))) for name in folders + files]  # noqa: PTH118
    return found


def listing(folder: Path) -> dict[str, tuple[Any, ...]]:
    """Path → what makes up an entry, for the comparison of a copy: kind, permissions, owner, size, time, device, xattrs."""
    found: dict[str, tuple[Any, ...]] = {}
    for path, name in walk(folder):
        status = path.lstat()
        kind = stat.S_IFMT(status.st_mode)
        if kind == stat.S_IFSOCK:
            continue  # made anew by whoever listens
        regular = kind == stat.S_IFREG
        special = kind in (stat.S_IFCHR, stat.S_IFBLK)
        found[name] = (
            status.st_mode,
            status.st_uid,
            status.st_gid,
            status.st_size if regular else 0,
            int(status.st_mtime) if regular else 0,
            status.st_rdev if special else 0,
            str(path.readlink()) if kind == stat.S_IFLNK else "",
            tuple(sorted((key, os.getxattr(path, key, follow_symlinks=False)) for key in xattrs(path))),
        )
    return found


def xattrs(path: Path) -> list[str]:
    try:
        return os.listxattr(path, follow_symlinks=False)
    except OSError:  # a file system without them
        return []


def empty(folder: Path) -> None:
    """Remove what is in a folder. The folder may be a mount point and stays."""
    for child in folder.iterdir() if folder.is_dir() else []:
        if child.name == LOST_AND_FOUND:
            continue
        if child.is_dir() and not child.is_symlink():
            shutil.rmtree(child)
        else:
            child.unlink()


class DataRoot:
    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.run = module.run_command
        self.given: dict[str, Any] = module.params
        self.memory = STATE / "data_root.json"
        self.known: dict[str, Any] = json.loads(self.memory.read_text()) if self.memory.exists() else {"old": []}
        self.info = docker_daemon.info(self.run)

    # --- what is there

    def moves(self) -> list[Move]:
        found = []
        source, target = str(self.info["DockerRootDir"]), os.path.normpath(self.given["path"])
        if source != target:
            found.append(Move("docker", source, target, "path", *used(Path(source))))
        if self.given["containerd_path"]:
            text = CONTAINERD_TOML.read_text() if CONTAINERD_TOML.exists() else ""
            source, target = docker_roots.containerd_root(text), os.path.normpath(self.given["containerd_path"])
            if source != target:
                found.append(Move("containerd", source, target, "containerd_path", *used(Path(source))))
        return found

    def problems(self, moves: list[Move]) -> list[Check]:
        """All that speaks against it, asked without changing anything."""
        found = docker_roots.check(moves, {move.target: place(Path(move.target)) for move in moves}, mounts())
        what = {move.what for move in moves}
        if (
            docker_roots.keeps_images_in_containerd(self.info)
            and not self.given["containerd_path"]
            and "docker" in what
        ):
            message = (
                "docker keeps its images in containerd on this node, a move of the data-root would leave them behind"
            )
            remedy = "say where containerd shall keep them too (containerd_path, docker_containerd_root)"
            found.append(failed("root-containerd", "path", message, remedy))
        if "docker" in what:
            daemon = DaemonJson(self.run)
            found += daemon.problems or daemon.check({"data-root": self.given["path"]}, self.wanted(daemon))
        if moves and not self.given["restart_ok"]:
            containers = docker_daemon.containers(self.run)
            engines = docker_running.engines(containers, docker_daemon.engine_units(self.run))
            harmed = docker_running.together(engines, docker_running.vanishing(containers))
            if harmed:
                message = f"would end {', '.join(harmed)}"
                remedy = "stop them, or allow it (restart_ok, docker_restart_ok)"
                found.append(failed("root-in-use", "restart_ok", message, remedy, harmed=harmed))
        return found

    def wanted(self, daemon: DaemonJson) -> docker_daemon.Plan:
        path = os.path.normpath(self.given["path"])
        return daemon.plan(OWNER, {} if path == docker_daemon.DEFAULT_ROOT else {"data-root": path})

    def images(self) -> set[str]:
        return set(self.run(["docker", "images", "--all", "--quiet", "--no-trunc"], check_rc=True)[1].split())

    # --- the move

    def move(self, moves: list[Move]) -> list[str]:
        containers = docker_daemon.containers(self.run)
        vanishing = docker_running.vanishing(containers)
        daemon_file, toml = Path(DAEMON_JSON), CONTAINERD_TOML
        owners = STATE / "owners.json"
        self.known["moving"] = {
            "moves": [asdict(move) for move in moves],
            "files": {str(file): file.read_text() if file.exists() else None for file in (daemon_file, toml, owners)},
            "images": sorted(self.images()),
            "containers": [docker_running.name(one) for one in containers if docker_running.name(one) not in vanishing],
            "running": [name for name in docker_running.running(containers) if name not in vanishing],
            "units": docker_daemon.engine_units(self.run),
        }
        self.remember()
        try:
            self.stop()
            for move in moves:
                self.copy(Path(move.source), Path(move.target))
            self.switch(moves)
            self.start()
            self.verify()
        except (MoveError, OSError) as error:
            self.fail_back(str(error))
        return self.finish()

    def remember(self) -> None:
        write(self.memory, json.dumps(self.known, indent=1) + "\n", 0o600)

    @property
    def moving(self) -> dict[str, Any]:
        return self.known["moving"]

    @property
    def services(self) -> list[str]:
        """The units that use what is moved, docker first."""
        return UNITS + ["containerd.service"] * any(move["what"] == "containerd" for move in self.moving["moves"])

    def do(self, *words: str) -> None:
        code, output, error = self.run(list(words))
        if code:
            lines = (error.strip() or output.strip()).splitlines()
            raise MoveError(f"{' '.join(words[:3])}: {'; '.join(lines[:3]) or f'status {code}'}")

    def stop(self) -> None:
        """End what runs, in an order in which nothing starts it again: ranks, containers, the socket with the daemon."""
        if self.moving["units"]:
            self.do("systemctl", "stop", *self.moving["units"])
        still = docker_running.running(docker_daemon.containers(self.run))
        if still:
            self.do("docker", "stop", *still)
        self.do("systemctl", "stop", *self.services)
        for move in self.moving["moves"]:
            held = docker_roots.in_use(mounts(), move["source"])
            if held:
                raise MoveError(f"{move['source']} is still in use: {', '.join(held[:SHOWN])}")

    def copy(self, source: Path, target: Path) -> None:
        """GNU cp keeps what layers consist of when it is root, and is on every node."""
        source.mkdir(parents=True, exist_ok=True)
        target.mkdir(parents=True, exist_ok=True)
        self.do("cp", "--archive", "--sparse=auto", f"{source}/.", str(target))
        self.do("sync", "--file-system", str(target))
        different = docker_roots.differences(listing(source), listing(target))
        if different:
            raise MoveError(f"the copy in {target} is not complete: {', '.join(different[:SHOWN])}")

    def switch(self, moves: list[Move]) -> None:
        for move in moves:
            if move.what == "docker":
                daemon = DaemonJson(self.run)
                daemon.put(OWNER, self.wanted(daemon))
            else:
                text = CONTAINERD_TOML.read_text() if CONTAINERD_TOML.exists() else ""
                write(CONTAINERD_TOML, docker_roots.with_containerd_root(text, move.target), 0o644)

    def start(self) -> None:
        self.run(["systemctl", "reset-failed", *self.services])
        self.do("systemctl", "start", *reversed(self.services))

    def start_again(self) -> None:
        """Start the containers and ranks that ran before."""
        down = sorted({*self.moving["running"]} - {*docker_running.running(docker_daemon.containers(self.run))})
        own = {unit.partition(".service")[0] for unit in self.moving["units"]}
        if down := [name for name in down if name not in own]:
            self.do("docker", "start", *down)
        if self.moving["units"]:
            self.do("systemctl", "start", *self.moving["units"])

    def verify(self) -> None:
        """Docker uses the new folder, and all is there that was there."""
        self.info = docker_daemon.info(self.run)
        for move in self.moving["moves"]:
            if move["what"] == "docker" and self.info.get("DockerRootDir") != move["target"]:
                raise MoveError(f"docker uses {self.info.get('DockerRootDir')} instead of {move['target']}")
        if missing := sorted({*self.moving["images"]} - self.images()):
            raise MoveError(f"images are missing: {', '.join(missing[:SHOWN])}")
        there = {docker_running.name(one) for one in docker_daemon.containers(self.run)}
        if missing := sorted({*self.moving["containers"]} - there):
            raise MoveError(f"containers are missing: {', '.join(missing[:SHOWN])}")
        self.start_again()
        if ended := sorted({*self.moving["running"]} - {*docker_running.running(docker_daemon.containers(self.run))}):
            raise MoveError(f"containers do not run again: {', '.join(ended[:SHOWN])}")

    def finish(self) -> list[str]:
        sources = [move["source"] for move in self.moving["moves"]]
        targets = [move["target"] for move in self.moving["moves"]]
        again = [*self.moving["units"], *self.moving["running"]]
        self.known = {"old": [old for old in dict.fromkeys([*self.known["old"], *sources]) if old not in targets]}
        self.remember()
        return again

    # --- the way back

    def back(self) -> str:
        """Use the old folders again, and start what ran; empty when that went well, else what did not."""
        try:
            if docker_daemon.active(self.run, "docker.service"):
                self.stop()
            self.do("systemctl", "stop", *self.services)
            for path, text in self.moving["files"].items():
                if text is not None:
                    mode = Path(path).stat().st_mode & 0o777 if Path(path).exists() else 0o644
                    write(Path(path), text, mode)
                else:
                    Path(path).unlink(missing_ok=True)
            for move in self.moving["moves"]:
                empty(Path(move["target"]))
            self.start()
            self.start_again()
        except (MoveError, OSError) as error:
            return str(error)
        self.known = {"old": self.known["old"]}
        self.remember()
        return ""

    def fail_back(self, reason: str) -> None:
        sources = " and ".join(move["source"] for move in self.moving["moves"])
        wrong = self.back()
        state = f"going back failed too: {wrong}" if wrong else f"docker uses {sources} again, and what ran runs again"
        self.module.fail_json(msg=f"the data was not moved: {reason}\n{state}", rolled_back=not wrong)

    def interrupted(self) -> bool:
        """Take back, or complete, a move that an earlier call did not end. Whether there was one."""
        if "moving" not in self.known:
            return False
        if self.module.check_mode:  # docker may be stopped, so that no more can be said
            self.module.exit_json(changed=True, moved=[], started_again=[], old_roots=self.known["old"])
        targets = {move["target"] for move in self.moving["moves"] if move["what"] == "docker"}
        if self.info.get("DockerRootDir") in targets:
            try:
                self.verify()
            except MoveError as error:
                message = f"an earlier move to {self.given['path']} was interrupted, and cannot be completed: {error}"
                self.module.fail_json(msg=f"{message}; the old data is kept, see {self.memory}")
            self.finish()
        elif wrong := self.back():
            self.module.fail_json(msg=f"an earlier move was interrupted, and could not be taken back: {wrong}")
        self.info = docker_daemon.info(self.run)
        return True

    def remove_old(self) -> bool:
        """Empty the folders of before; whether there was anything."""
        current = {self.info.get("DockerRootDir"), docker_roots.containerd_root(_text(CONTAINERD_TOML))}
        gone = [old for old in self.known["old"] if old not in current]
        if gone and not self.module.check_mode:
            for old in gone:
                empty(Path(old))
            self.known["old"] = [old for old in self.known["old"] if old not in gone]
            self.remember()
        return bool(gone)


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "containerd_path": {"type": "path"},
            "restart_ok": {"type": "bool", "default": False},
            "remove_old": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    if not docker_daemon.installed("dockerd") and module.check_mode:
        module.exit_json(changed=True, moved=[], started_again=[], old_roots=[], msg="docker would be installed first")
    root = DataRoot(module)
    changed = root.interrupted()
    if not root.info:
        module.fail_json(
            msg="docker does not answer; look at 'journalctl --unit=docker', start it, and call this again"
        )
    moves = root.moves()
    if problems := root.problems(moves):
        module.fail_json(msg=report(problems), findings=problems)
    again = root.move(moves) if moves and not module.check_mode else []
    removed = module.params["remove_old"] and root.remove_old()
    moved = [{"what": one.what, "source": one.source, "target": one.target, "bytes": one.used_bytes} for one in moves]
    before, after = ("".join(f"{one['what']} {one[key]}\n" for one in moved) for key in ("source", "target"))
    module.exit_json(
        changed=bool(changed or moves or removed),
        moved=moved,
        started_again=again,
        old_roots=root.known["old"],
        diff={"before": before, "after": after},
    )


if __name__ == "__main__":
    main()
