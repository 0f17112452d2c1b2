#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

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
    description: Reads and compares, copies nothing.
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
  description: Why nothing was done; each with severity, code, where, message, remedy and data.
  returned: failure before a change
  type: list
  elements: dict
"""

import json
import os
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fullrank.serving.plugins.module_utils.common import trees
from ansible_collections.fullrank.serving.plugins.module_utils.common.files import write
from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import Finding, failed, failures
from ansible_collections.fullrank.serving.plugins.module_utils.docker import containers as docker_containers
from ansible_collections.fullrank.serving.plugins.module_utils.docker import daemon as docker_daemon
from ansible_collections.fullrank.serving.plugins.module_utils.docker import data_root
from ansible_collections.fullrank.serving.plugins.module_utils.docker import move as docker_move
from ansible_collections.fullrank.serving.plugins.module_utils.docker.daemon import STATE, DaemonJson
from ansible_collections.fullrank.serving.plugins.module_utils.docker.data_root import Move, Place
from ansible_collections.fullrank.serving.plugins.module_utils.docker.move import MoveError, Mover


def place(path: Path) -> Place:
    """What is at a target today, or at the nearest folder above it that exists."""
    there = next(one for one in (path, *path.parents) if one.exists())
    numbers = os.statvfs(there)
    rows = [line.split()[1:3] for line in docker_move.mounts().splitlines()]
    mounted = [row for row in rows if Path(row[0]) == there or Path(row[0]) in there.parents]
    kind = max(reversed(mounted), key=lambda row: len(row[0]))[1]
    free_inodes = numbers.f_favail if numbers.f_files else None
    return Place(kind, there.stat().st_dev, numbers.f_bavail * numbers.f_frsize, free_inodes, trees.entries(path))


class DataRoot:
    """Where the data is and where it shall be; and what is remembered on the node: a move that was not ended, old folders."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.run = module.run_command
        self.params: dict[str, Any] = module.params
        self.memory = STATE / "data_root.json"
        self.known: dict[str, Any] = json.loads(self.memory.read_text()) if self.memory.exists() else {"old": []}
        self.info = docker_daemon.info(self.run)

    def moves(self) -> list[Move]:
        found = []
        source, target = str(self.info["DockerRootDir"]), os.path.normpath(self.params["path"])
        if source != target:
            found.append(Move("docker", source, target, "path", *trees.used(Path(source))))
        if self.params["containerd_path"]:
            source = data_root.containerd_root(docker_move.containerd_text())
            target = os.path.normpath(self.params["containerd_path"])
            if source != target:
                found.append(Move("containerd", source, target, "containerd_path", *trees.used(Path(source))))
        return found

    def problems(self, moves: list[Move]) -> list[Finding]:
        """Everything that prevents the moves; nothing is changed."""
        places = {move.target: place(Path(move.target)) for move in moves}
        found = data_root.check(moves, places, docker_move.mounts())
        what = {move.what for move in moves}
        in_containerd = data_root.keeps_images_in_containerd(self.info)
        if in_containerd and not self.params["containerd_path"] and "docker" in what:
            message = (
                "docker keeps its images in containerd on this node, a move of the data-root would leave them behind"
            )
            remedy = "set where containerd shall keep them too (containerd_path, docker_containerd_root)"
            found.append(failed("root-containerd", "path", message, remedy))
        if "docker" in what:
            daemon = DaemonJson(self.run)
            plan = docker_move.daemon_plan(daemon, self.params["path"])
            found += daemon.problems or daemon.check({"data-root": self.params["path"]}, plan)
        if moves and not self.params["restart_ok"]:
            containers = docker_daemon.containers(self.run)
            engines = docker_containers.engines(containers, docker_daemon.engine_units(self.run))
            harmed = docker_containers.together(engines, docker_containers.vanishing(containers))
            if harmed:
                message = f"would end {', '.join(harmed)}"
                remedy = "stop them, or allow it (restart_ok, docker_restart_ok)"
                found.append(failed("root-in-use", "restart_ok", message, remedy, harmed=harmed))
        return found

    def move(self, moves: list[Move]) -> list[str]:
        """Move, or fail with everything back; what was stopped for it and runs again."""
        self.known["moving"] = docker_move.record(self.run, moves)
        self.remember()
        mover = Mover(self.run, self.known["moving"])
        try:
            mover.there()
        except (MoveError, OSError) as error:
            self.fail_back(mover, str(error))
        return self.finish(mover)

    def remember(self) -> None:
        write(self.memory, json.dumps(self.known, indent=1) + "\n", 0o600)

    def forget(self, old: list[str]) -> None:
        self.known = {"old": old}
        self.remember()
        self.info = docker_daemon.info(self.run)

    def finish(self, mover: Mover) -> list[str]:
        moves = mover.known["moves"]
        targets = [move["target"] for move in moves]
        old = dict.fromkeys([*self.known["old"], *(move["source"] for move in moves)])
        self.forget([folder for folder in old if folder not in targets])
        return [*mover.known["units"], *mover.known["running"]]

    def fail_back(self, mover: Mover, reason: str) -> None:
        sources = " and ".join(move["source"] for move in mover.known["moves"])
        wrong = mover.back()
        if not wrong:
            self.forget(self.known["old"])
        state = f"going back failed too: {wrong}" if wrong else f"docker uses {sources} again, and what ran runs again"
        self.module.fail_json(msg=f"the data was not moved: {reason}\n{state}", rolled_back=not wrong)

    def interrupted(self) -> bool:
        """Take back, or complete, a move that an earlier call did not end. Whether there was one."""
        if "moving" not in self.known:
            return False
        if self.module.check_mode:  # docker may be stopped, so that no more can be read
            self.module.exit_json(changed=True, moved=[], started_again=[], old_roots=self.known["old"])
        mover = Mover(self.run, self.known["moving"])
        targets = {move["target"] for move in mover.known["moves"] if move["what"] == "docker"}
        if self.info.get("DockerRootDir") in targets:
            try:
                mover.verify()
            except MoveError as error:
                message = f"an earlier move to {self.params['path']} was interrupted, and cannot be completed: {error}"
                self.module.fail_json(msg=f"{message}; the old data is kept, see {self.memory}")
            self.finish(mover)
        elif wrong := mover.back():
            self.module.fail_json(msg=f"an earlier move was interrupted, and could not be taken back: {wrong}")
        else:
            self.forget(self.known["old"])
        return True

    def remove_old(self) -> bool:
        """Empty the folders of before; whether there was anything."""
        current = {self.info.get("DockerRootDir"), data_root.containerd_root(docker_move.containerd_text())}
        gone = [old for old in self.known["old"] if old not in current]
        if gone and not self.module.check_mode:
            for old in gone:
                trees.empty(Path(old))
            self.known["old"] = [old for old in self.known["old"] if old not in gone]
            self.remember()
        return bool(gone)


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
        module.fail_json(msg=failures(problems), findings=problems)
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
