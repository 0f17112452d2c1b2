# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Watches from the controller how a rank starts."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ansible import constants as C
from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.fullrank.serving.plugins.module_utils.common import files as common_files
from ansible_collections.fullrank.serving.plugins.plugin_utils.actions.watch import Watch
from ansible_collections.fullrank.serving.plugins.plugin_utils.diagnosis import start_progress, tables
from ansible_collections.fullrank.serving.plugins.plugin_utils.diagnosis.waiting import given_up, last_words

OPTIONS = {
    "deployment": {"type": "str", "required": True},
    "label": {"type": "str", "default": ""},
    "hosts": {"type": "list", "elements": "str", "required": True},
    "timeout": {"type": "int", "required": True},
}
MEET_S = 90.0
"""Supervisors that were just started hear each other within seconds, and all that they wait for was checked before."""
LOST_S = 30.0
"""How long a node may be unreachable before the start fails: the other ranks wait meanwhile."""
END_S = 60.0
"""How long the watch goes on after the time limit: the verdict names the rank that is missing, the watch does not."""
EVERY_S = 5.0
"""Between two lines of one phase."""


class Board:
    """Where the watches of one deployment's ranks exchange how far each rank is, and that waiting has failed: files in this run's
    own temporary folder.

    Ansible watches each host in a process of its own, and no other process notices a node that Ansible has lost. ``attempt``
    names the task: the failure of one does not count for the next.
    """

    def __init__(self, head: str, attempt: str) -> None:
        folder = Path(C.DEFAULT_LOCAL_TMP)
        self.failed = folder / f"fullrank-{head}-{attempt}.failed"
        self.stage = folder / f"fullrank-{head}-{attempt}.stage"

    def publish(self, rank: int, stage: start_progress.Stage) -> None:
        file = self.stage.with_suffix(f".stage-{rank}")
        common_files.write(file, json.dumps(asdict(stage)), 0o600, lasting=False)

    def stages(self) -> dict[int, start_progress.Stage]:
        return {
            int(file.suffix.rpartition("-")[2]): start_progress.Stage(**json.loads(file.read_text()))
            for file in self.stage.parent.glob(f"{self.stage.stem}.stage-*")
        }

    def failure(self) -> str:
        return self.failed.read_text() if self.failed.exists() else ""

    def fail(self, why: str) -> None:
        if not self.failed.exists():  # the first failure is the cause
            self.failed.write_text(why)


class ActionModule(ActionBase):
    """The action behind ``fullrank.serving.rank_wait``."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        _unused, self.params = self.validate_argument_spec(argument_spec=OPTIONS)
        task_vars = task_vars or {}
        result["changed"] = False
        if self._task.check_mode:
            return result | {"skipped": True, "msg": "nothing was started: there is nothing to wait for"}
        self.task_vars = task_vars
        self.rank = self.params["hosts"].index(task_vars["inventory_hostname"])
        self.name = self._rank(self.rank)
        self.watch = Watch(
            Display().display,
            self.name,
            limit_s=self.params["timeout"] + END_S,
            lost_s=LOST_S,
            every_s=EVERY_S,
        )
        why = self._wait(Board(self.params["hosts"][0], self._task._uuid))
        result["waited"] = round(self.watch.waited, 1)
        if why:
            result |= {"failed": True, "msg": why}
        return result

    def _rank(self, rank: int) -> str:
        return f"{self.params['label'] or self.params['deployment']} rank {rank} ({self.params['hosts'][rank]})"

    def _wait(self, board: Board) -> str:
        """Wait; the reason for which it failed, empty when the group is ready."""
        try:
            for info in self.watch.answers(self._look):
                if info.get("failed"):
                    return str(info.get("msg"))
                why = self._verdict(info, board)
                if why is not None:
                    return why
                stage = start_progress.stage(tables.progress(), info["log"])
                board.publish(self.rank, stage or start_progress.STARTING)
                text = self._activity(info, stage, board)
                self.watch.report(stage.phase if stage else "", text, before=f"{self.watch.waited:.0f} s, ")
        except AnsibleConnectionFailure as lost:
            board.fail(f"{self.name}: the node was lost: {lost}")
            raise
        return f"{self.name}: not ready after {self.watch.waited:.0f} s"

    def _activity(self, info: dict[str, Any], stage: start_progress.Stage | None, board: Board) -> str:
        """What the rank does, by its engine's log; by its supervisor, before the engine runs."""
        group = info["group"]
        if stage and group.get("phase") != "waiting":
            return start_progress.words(self.rank, board.stages())
        return str(group.get("summary") or last_words(info["log"]) or "waiting for its supervisor")

    def _verdict(self, info: dict[str, Any], board: Board) -> str | None:
        """None: wait on. Empty: it is ready. Otherwise: why it will not be."""
        group, waited = info["group"], self.watch.waited
        if group.get("ready"):
            return ""
        if why := given_up(info):
            board.fail(f"{self._rank(group['failure']['rank']) if group.get('failure') else self.name}: {why}")
        elif waited > self.params["timeout"] or (waited > MEET_S and group.get("phase", "waiting") == "waiting"):
            board.fail(
                f"{self.name}: not there after {waited:.0f} s: {group.get('summary', 'no report of its supervisor')}"
            )
        if cause := board.failure():
            return cause if cause.startswith(self.name) else f"{self.name}: stopped waiting, because {cause}"
        return None

    def _look(self) -> dict[str, Any]:
        """One call of ``rank_info`` on the node."""
        arguments = {"deployment": self.params["deployment"], "log_lines": 60}
        return self._execute_module("fullrank.serving.rank_info", arguments, task_vars=self.task_vars)
