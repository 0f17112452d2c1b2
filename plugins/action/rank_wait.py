# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

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
from ansible_collections.fullrank.serving.plugins.plugin_utils import progress, tables
from ansible_collections.fullrank.serving.plugins.plugin_utils.waiting import ended, last_words, listens

OPTIONS = {
    "deployment": {"type": "str", "required": True},
    "rank": {"type": "int", "required": True},
    "until": {"type": "str", "choices": ["rendezvous", "ready"], "required": True},
    "port": {"type": "int"},
    "url": {"type": "str"},
    "model": {"type": "str"},
    "api_key": {"type": "str", "no_log": True},
    "timeout": {"type": "int", "required": True},
}
INTERVAL_S = 1.0
# The head knows why the deployment does not get ready; the others give up after it, so that its reason is the one that is said.
HEAD_FIRST_S = 30


class Board:
    """Where the ranks of one deployment tell each other how far they are and how waiting ended: files in this run's own
    temporary folder.

    Ansible watches each host in a process of its own. Without this, the head would wait out its whole limit for a rank that
    is dead already, and the others would not know when to stop.
    """

    def __init__(self, deployment: str) -> None:
        folder = Path(C.DEFAULT_LOCAL_TMP)
        self.stage = folder / f"fullrank-{deployment}.stage"
        self.ready = folder / f"fullrank-{deployment}.ready"
        self.failed = folder / f"fullrank-{deployment}.failed"

    def clear(self) -> None:
        self.ready.unlink(missing_ok=True)
        self.failed.unlink(missing_ok=True)
        for file in self._stage_files():
            file.unlink()

    def _stage_files(self) -> list[Path]:
        return list(self.stage.parent.glob(f"{self.stage.stem}.stage-*"))

    def tell(self, rank: int, stage: progress.Stage) -> None:
        work = self.stage.with_suffix(f".work-{rank}")
        work.write_text(json.dumps(asdict(stage)))
        work.replace(self.stage.with_suffix(f".stage-{rank}"))  # in one step: the others read it at any time

    def stages(self) -> dict[int, progress.Stage]:
        return {
            int(file.suffix.rpartition("-")[2]): progress.Stage(**json.loads(file.read_text()))
            for file in self._stage_files()
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
        _, self.given = self.validate_argument_spec(
            argument_spec=OPTIONS,
            required_if=[("until", "rendezvous", ["port"]), ("until", "ready", ["url", "model"])],
        )
        assert task_vars is not None
        result["changed"] = False
        if self._task.check_mode:
            return result | {"skipped": True, "msg": "nothing was started: there is nothing to wait for"}
        self.task_vars = task_vars
        self.name = f"{self.given['deployment']} rank {self.given['rank']} ({task_vars['inventory_hostname']})"
        board = Board(self.given["deployment"])
        if self.given["until"] == "rendezvous":
            board.clear()
        started = time.monotonic()
        why = self._wait(board, started)
        result["waited"] = round(time.monotonic() - started, 1)
        if why:
            result |= {"failed": True, "msg": why}
        return result

    @property
    def _is_head(self) -> bool:
        return bool(self.given["rank"] == 0)

    def _wait(self, board: Board, started: float) -> str:
        """Wait; the reason for which it failed, empty when what was waited for has come."""
        teller = progress.Teller()
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
            stage = progress.stage(tables.progress(), info["log"])
            board.tell(self.given["rank"], stage or progress.STARTING)
            text = (
                progress.words(self.given["rank"], board.stages()) if stage else last_words(info["log"]) or "starting"
            )
            if teller.due(waited, stage.phase if stage else "", text):
                Display().display(f"  {self.name}: {waited:.0f} s, {text}")
            time.sleep(INTERVAL_S)

    def _verdict(self, info: dict[str, Any], board: Board, waited: float) -> str | None:
        """None: wait on. Empty: it has come. Otherwise: why it will not."""
        if why := board.failure():
            return f"{self.name}: stopped waiting, because {why}"
        if why := ended(info):
            board.fail(f"{self.name}: {why}")
            return f"{self.name}: {why}"
        if self._has_come(info, board):
            return ""
        limit = self.given["timeout"] + (0 if self._is_head else HEAD_FIRST_S)
        if waited > limit:
            answer = info.get("completion", {}).get("error", "")
            why = f"{self.name}: not there after {limit} s" + (f"; the endpoint says: {answer}" if answer else "")
            board.fail(why)
            return why
        return None

    def _has_come(self, info: dict[str, Any], board: Board) -> bool:
        if self.given["until"] == "rendezvous":
            return listens(info, self.given["port"])
        if not self._is_head:
            return board.ready.exists()
        if info["completion"]["ready"]:
            board.ready.touch()
        return bool(info["completion"]["ready"])

    def _look(self) -> dict[str, Any]:
        """One call of ``rank_info`` on the node."""
        arguments: dict[str, Any] = {"deployment": self.given["deployment"], "log_lines": 60}
        if self.given["until"] == "rendezvous":
            arguments["ports"] = [self.given["port"]]
        elif self._is_head:
            arguments |= {name: self.given[name] for name in ("url", "model", "api_key")}
        return self._execute_module("fullrank.serving.rank_info", arguments, task_vars=self.task_vars)
