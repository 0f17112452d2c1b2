# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Watches a rank from the controller, and says what it sees."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ansible import constants as C
from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.fullrank.serving.plugins.plugin_utils.diagnosis import start_progress, tables
from ansible_collections.fullrank.serving.plugins.plugin_utils.diagnosis.waiting import given_up, last_words

OPTIONS = {
    "deployment": {"type": "str", "required": True},
    "label": {"type": "str", "default": ""},
    "hosts": {"type": "list", "elements": "str", "required": True},
    "timeout": {"type": "int", "required": True},
}
INTERVAL_S = 1.0
MEET_S = 90.0
"""Supervisors that were just started hear each other within seconds, and all that they wait for was checked before."""


class Board:
    """Where the ranks of one group tell each other how far they are and that waiting has failed: files in this run's own
    temporary folder.

    Ansible watches each host in a process of its own, and nobody else knows of a node that Ansible has lost. ``attempt``
    names the task: the failure of one is nothing to the next.
    """

    def __init__(self, head: str, attempt: str) -> None:
        folder = Path(C.DEFAULT_LOCAL_TMP)
        self.failed = folder / f"fullrank-{head}-{attempt}.failed"
        self.stage = folder / f"fullrank-{head}-{attempt}.stage"

    def tell(self, rank: int, stage: start_progress.Stage) -> None:
        work = self.stage.with_suffix(f".work-{rank}")
        work.write_text(json.dumps(asdict(stage)))
        work.replace(self.stage.with_suffix(f".stage-{rank}"))  # in one step: the others read it at any time

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
        _unused, self.given = self.validate_argument_spec(argument_spec=OPTIONS)
        task_vars = task_vars or {}
        result["changed"] = False
        if self._task.check_mode:
            return result | {"skipped": True, "msg": "nothing was started: there is nothing to wait for"}
        self.task_vars = task_vars
        self.rank = self.given["hosts"].index(task_vars["inventory_hostname"])
        self.name = self._rank(self.rank)
        started = time.monotonic()
        why = self._wait(Board(self.given["hosts"][0], self._task._uuid), started)
        result["waited"] = round(time.monotonic() - started, 1)
        if why:
            result |= {"failed": True, "msg": why}
        return result

    def _rank(self, rank: int) -> str:
        return f"{self.given['label'] or self.given['deployment']} rank {rank} ({self.given['hosts'][rank]})"

    def _wait(self, board: Board, started: float) -> str:
        """Wait; the reason for which it failed, empty when the group is ready."""
        teller = start_progress.Teller()
        while True:
            waited = time.monotonic() - started
            try:
                info = self._look()
            except AnsibleConnectionFailure as lost:
                board.fail(f"{self.name}: the node was lost: {lost}")
                raise
            if info.get("failed"):
                return str(info.get("msg"))
            why = self._verdict(info, board, waited)
            if why is not None:
                return why
            stage = start_progress.stage(tables.progress(), info["log"])
            board.tell(self.rank, stage or start_progress.STARTING)
            text = self._does(info, stage, board)
            if teller.due(waited, stage.phase if stage else "", text):
                Display().display(f"  {self.name}: {waited:.0f} s, {text}")
            time.sleep(INTERVAL_S)

    def _does(self, info: dict[str, Any], stage: start_progress.Stage | None, board: Board) -> str:
        """What the rank does, by its engine's log; by its supervisor, before the engine runs."""
        group = info["group"]
        if stage and group.get("phase") != "waiting":
            return start_progress.words(self.rank, board.stages())
        return str(group.get("says") or last_words(info["log"]) or "waiting for its supervisor")

    def _verdict(self, info: dict[str, Any], board: Board, waited: float) -> str | None:
        """None: wait on. Empty: it is ready. Otherwise: why it will not be."""
        group = info["group"]
        if group.get("ready"):
            return ""
        if why := given_up(info):
            board.fail(f"{self._rank(group['failure']['rank']) if group.get('failure') else self.name}: {why}")
        elif waited > self.given["timeout"] or (waited > MEET_S and group.get("phase", "waiting") == "waiting"):
            board.fail(f"{self.name}: not there after {waited:.0f} s: {group.get('says', 'no word of its supervisor')}")
        if cause := board.failure():
            return cause if cause.startswith(self.name) else f"{self.name}: stopped waiting, because {cause}"
        return None

    def _look(self) -> dict[str, Any]:
        """One call of ``rank_info`` on the node."""
        arguments = {"deployment": self.given["deployment"], "log_lines": 60}
        return self._execute_module("fullrank.serving.rank_info", arguments, task_vars=self.task_vars)
