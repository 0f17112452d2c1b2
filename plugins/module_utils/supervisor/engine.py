# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine of this node as its supervisor sees and handles it: a systemd unit and its processes. Private to this collection."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common import files as common_files
from ansible_collections.fullrank.serving.plugins.module_utils.node import listeners
from ansible_collections.fullrank.serving.plugins.module_utils.node.reader import Host
from ansible_collections.fullrank.serving.plugins.module_utils.supervisor import decisions
from ansible_collections.fullrank.serving.plugins.module_utils.supervisor.decisions import Engine
from ansible_collections.fullrank.serving.plugins.module_utils.systemd import names, unit_text
from ansible_collections.fullrank.serving.plugins.module_utils.systemd import state as systemd_state
from ansible_collections.fullrank.serving.plugins.module_utils.weights import folder as weights_folder
from ansible_collections.fullrank.serving.plugins.module_utils.weights import manifest

FROZEN_S = 2.0
"""A process of the engine that is stopped (SIGSTOP, state T in proc(5)) for so long holds up the group. A debugger's stop is
another state, t, and does not count."""

PROBE_S = 5
"""Seconds that the question for the image may take."""

COMMAND_S, START_S = 30, 600
"""Seconds that systemctl may take. A start waits for what the unit does before its command, the removal of a container say,
for which systemd has limits of its own."""

_PROPERTIES = "ActiveState,Result,ExecMainStatus,InvocationID,ControlGroup,Job"
_STATES = {
    "active": decisions.RUNNING,
    "activating": decisions.RUNNING,
    "reloading": decisions.RUNNING,
    "deactivating": decisions.STOPPING,
}


class LocalEngine:
    """Looks at the unit, starts and kills it, and remembers in which epoch it was started. `EngineWorker` calls it.

    The memory is a file in /run: it lives as long as processes can, over an end of the supervisor and not over a boot. While it
    cannot be written, it lives as long as the supervisor: the next one would kill the engine as that of somebody else.
    requires: paths that must exist before a start; a ``READY`` of weights must belong to their manifest.
    probe: a command that succeeds when the image is there; empty for none.
    port: of the start order, to look for on the head; 0 for none.
    """

    def __init__(self, deployment: str, memory: Path, requires: Sequence[str], probe: Sequence[str], port: int) -> None:
        self._deployment = deployment
        self._own = names.of_rank(deployment)
        self._memory = memory
        self.ready_mark = Path(names.ready_mark(deployment))
        self._requires, self._probe, self._port = requires, probe, port
        self._frozen: dict[str, float] = {}
        self._refused = ""
        self._unsaved: tuple[int, str] | None = None
        self.trouble = ""

    @property
    def unit(self) -> str:
        """What it runs as: its former name as long as it has not ended under that."""
        return systemd_state.rank_unit(self._deployment)

    def look(self, now: float, port_matters: bool) -> Engine | None:
        """What is to be seen now; None where systemd does not answer, while it reads its units again say. Raises OSError.

        port_matters: whether it is to be seen whether the head listens.
        """
        if self._unsaved:
            self._remember(*self._unsaved)
        shown = unit_text.parse_show(self._systemctl("show", f"--property={_PROPERTIES}", self.unit).stdout)
        return self._judge(shown, now, port_matters) if "ActiveState" in shown else None

    def _judge(self, shown: Mapping[str, Any], now: float, port_matters: bool) -> Engine:
        state = _STATES.get(shown["ActiveState"], decisions.STOPPED)
        tried, invocation = self._remembered()
        if state == decisions.STOPPED and shown.get("Job", "0").strip("0"):
            # a supervisor that ended in its midst asked for a start, and it waits for its turn
            return Engine(decisions.STARTING, 0, tried)
        if state == decisions.STOPPED:
            return Engine(state, 0, tried, self._why(shown) if tried else "", lacks(self._requires, self._probe))
        epoch = tried if invocation and invocation == shown.get("InvocationID") else 0
        if state == decisions.STOPPING:  # its main process has ended, others have not
            return Engine(state, epoch, tried, self._why(shown) if epoch else "")
        fault = self._stopped_process(shown.get("ControlGroup", ""), now)
        return Engine(state, epoch, tried, fault, "", port_matters and self._listens())

    def note_ready(self) -> bool:
        """Note that the deployment was ready with the launch that runs, as a rollback target; False where its process is gone.

        Raises OSError.
        """
        pid = self._systemctl("show", "--value", "--property=MainPID", self.unit).stdout.strip()
        spec_hash = systemd_state.running_spec_hash(int(pid or 0))
        if spec_hash:
            common_files.write(self.ready_mark, f"{spec_hash}\n", 0o644)
        return bool(spec_hash)

    def log(self, seconds: float) -> str:
        """The lines that it has written in the last so many seconds; empty where they cannot be read."""
        words = [f"--unit={self.unit}", f"--since=-{seconds:.0f}s", "--output=cat", "--no-pager", "--quiet"]
        return self._run(["journalctl", *words], COMMAND_S).stdout

    def start(self, epoch: int) -> None:
        """Start it in ``epoch``; whether that worked is to be seen in the next look."""
        self._remember(epoch, "-")
        try:
            self._take_over()
        except OSError as error:
            self._refused = str(error)
            return
        self._systemctl("reset-failed", self.unit)
        done = self._systemctl("start", self.unit)
        self._refused = done.stderr.strip() if done.returncode else ""
        self._remember(
            epoch, self._systemctl("show", "--value", "--property=InvocationID", self.unit).stdout.strip() or "-"
        )

    def _take_over(self) -> None:
        """From the unit's former name to today's. Raises OSError."""
        former = Path(names.FORMER_UNITS, names.former_rank_unit(self._deployment))
        if former.exists():
            former.unlink()
            self._systemctl("daemon-reload")
            self._systemctl("reset-failed", former.name)

    def kill(self) -> None:
        """End all its processes at once: there is nothing to save in a broken group, and it may hang.

        Those of a container are no children of its unit.
        """
        if self._probe:
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                command = [self._probe[0], "rm", "--force", names.container_of(self.unit)]
                subprocess.run(command, capture_output=True, check=False, timeout=PROBE_S)
        self._systemctl("kill", "--signal=SIGKILL", self.unit)
        self._systemctl("stop", "--no-block", self.unit)

    def stop(self) -> None:
        """Ask it to end, within the time that the unit gives it; returns at once."""
        self._systemctl("stop", "--no-block", self.unit)

    def _systemctl(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self._run(["systemctl", *words], START_S if words[0] == "start" else COMMAND_S)

    def _run(self, command: list[str], limit: float) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                command, capture_output=True, text=True, check=False, timeout=limit, errors="backslashreplace"
            )
        except (OSError, subprocess.TimeoutExpired) as error:  # no descriptor, no memory, no answer
            return subprocess.CompletedProcess(command, -1, "", str(error))

    def _remembered(self) -> tuple[int, str]:
        if self._unsaved:
            return self._unsaved
        try:
            epoch, invocation = self._memory.read_text().split()
            return int(epoch), invocation
        except (OSError, ValueError):
            return 0, ""

    def _remember(self, epoch: int, invocation: str) -> None:
        self._unsaved = (epoch, invocation)
        try:
            common_files.write(self._memory, f"{epoch} {invocation}\n", 0o644, lasting=False)
        except OSError as error:  # the next look tries again
            self.trouble = f"cannot write {self._memory}: {error.strerror}"
        else:
            self._unsaved, self.trouble = None, ""

    def _why(self, shown: Mapping[str, Any]) -> str:
        result, status = shown.get("Result", "success"), shown.get("ExecMainStatus", "0")
        return self._refused or f"its unit is {shown.get('ActiveState')} ({result}, exit status {status})"

    def _listens(self) -> bool:
        return bool(self._port) and any(one["unit"] in self._own for one in listeners.holders(Host(), [self._port]))

    def _stopped_process(self, control_group: str, now: float) -> str:
        stopped = {}
        for pid in self._pids(control_group):
            try:
                name, _unused, rest = Path(f"/proc/{pid}/stat").read_text().partition("(")[2].rpartition(")")
            except OSError:
                continue
            if rest.split()[0] == "T":
                stopped[pid] = name
        self._frozen = {pid: self._frozen.get(pid, now) for pid in stopped}
        for pid, since in self._frozen.items():
            if now - since >= FROZEN_S:
                return f"its process {pid} ({stopped[pid]}) is stopped by a signal"
        return ""

    def _pids(self, control_group: str) -> list[str]:
        for root in ("/sys/fs/cgroup", "/sys/fs/cgroup/systemd"):
            folder = Path(root + control_group)
            if control_group and folder.is_dir():
                return [pid for file in folder.rglob("cgroup.procs") for pid in _words(file)]
        return []


def lacks(requires: Sequence[str], probe: Sequence[str]) -> str:
    """What is missing for a start; empty when nothing is. requires, probe: see LocalEngine."""
    for path in map(Path, requires):
        if not path.exists():
            return f"{path} is not there"
        if path.match(manifest.READY) and (why_not := weights_folder.look(path.parents[1]).why_not):
            return why_not
    if probe:
        try:
            done = subprocess.run(probe, capture_output=True, text=True, check=False, timeout=PROBE_S)
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
        if done.returncode:
            return f"the image is not there: {done.stderr.strip()[:200]}"
    return ""


def _words(file: Path) -> list[str]:
    try:
        return file.read_text().split()
    except OSError:  # the cgroup has gone
        return []
