# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Watches a rank from the controller, and says what it sees."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from ansible import constants as C
from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.fullrank.serving.plugins.plugin_utils.waiting import given_up, last_words

OPTIONS = {
    "deployment": {"type": "str", "required": True},
    "hosts": {"type": "list", "elements": "str", "required": True},
    "timeout": {"type": "int", "required": True},
}
INTERVAL_S = 1.0
SAY_EVERY_S = 5.0
MEET_S = 90.0
"""Supervisors that were just started hear each other within seconds, and all that they wait for was checked before."""


class Board:
    """Where the ranks of one deployment tell each other that waiting has failed: a file in this run's own temporary folder.

    Ansible watches each host in a process of its own, and nobody else knows of a node that Ansible has lost. ``attempt``
    names the task: the failure of one is nothing to the next.
    """

    def __init__(self, deployment: str, attempt: str) -> None:
        self.failed = Path(C.DEFAULT_LOCAL_TMP) / f"fullrank-{deployment}-{attempt}.failed"

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
        _, self.given = self.validate_argument_spec(argument_spec=OPTIONS)
        assert task_vars is not None
        result["changed"] = False
        if self._task.check_mode:
            return result | {"skipped": True, "msg": "nothing was started: there is nothing to wait for"}
        self.task_vars = task_vars
        self.name = self._rank(self.given["hosts"].index(task_vars["inventory_hostname"]))
        started = time.monotonic()
        why = self._wait(Board(self.given["deployment"], self._task._uuid), started)
        result["waited"] = round(time.monotonic() - started, 1)
        if why:
            result |= {"failed": True, "msg": why}
        return result

    def _rank(self, rank: int) -> str:
        return f"{self.given['deployment']} rank {rank} ({self.given['hosts'][rank]})"

    def _wait(self, board: Board, started: float) -> str:
        """Wait; the reason for which it failed, empty when the group is ready."""
        said = 0.0
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
            if time.monotonic() - said >= SAY_EVERY_S:
                said = time.monotonic()
                says = info["group"].get("says", "waiting for its supervisor")
                Display().display(f"  {self.name}: {waited:.0f} s, {says}: {last_words(info['log'])}")
            time.sleep(INTERVAL_S)

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
        arguments = {"deployment": self.given["deployment"], "log_lines": 30}
        return self._execute_module("fullrank.serving.rank_info", arguments, task_vars=self.task_vars)
