# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A systemd service with its files: written, started, and put back when what is new does not get well.

What runs is known by the hash of all that it was started from: in the environment of its process (``FULLRANK_SPEC_HASH``),
or in a stamp that every start writes, for programs that overwrite their environment (nginx). So a run that was interrupted
between writing and starting is noticed by the next one. Private to this collection.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common.file_diff import file_diff
from ansible_collections.fullrank.serving.plugins.module_utils.common.files import write as replace
from ansible_collections.fullrank.serving.plugins.module_utils.systemd import state as systemd_state

_EVERY_S = 0.5


class Hopeless(Exception):
    """Waiting would not make it well."""


@dataclass(frozen=True)
class File:
    """A file that belongs to a service. ``owner``: uid, gid. ``secret``: its content is not shown in diffs."""

    path: str
    content: str
    mode: int = 0o644
    owner: tuple[int, int] = (0, 0)
    secret: bool = False


def read(path: str) -> File | None:
    """The file as it is; None where there is none."""
    try:
        text, status = Path(path).read_text(errors="replace"), Path(path).stat()
    except FileNotFoundError:
        return None
    return File(path, text, status.st_mode & 0o7777, (status.st_uid, status.st_gid))


def write(file: File) -> None:
    """Write a file in one step; it never has other permissions in between."""
    replace(Path(file.path), file.content, file.mode, file.owner)


def same(one: File | None, other: File) -> bool:
    return one is not None and (one.content, one.mode, one.owner) == (other.content, other.mode, other.owner)


def diff(before: File | None, after: File | None) -> dict[str, str]:
    """A diff for Ansible, without what is secret."""
    path = (after or before).path  # type: ignore[union-attr]
    secret = any(one.secret for one in (before, after) if one)
    states = [(one.content, one.mode) if one else None for one in (before, after)]
    return file_diff(path, *states, secret=secret)


class Service:
    """One unit. ``run``: AnsibleModule.run_command. ``stamp``: path of the stamp, where the environment does not tell."""

    def __init__(
        self, run: systemd_state.Run, unit: str, files: Sequence[File], spec_hash: str, stamp: str = ""
    ) -> None:
        self.run = run
        self.unit = unit
        self.files = files
        self.spec_hash = spec_hash
        self.stamp = stamp
        self.before = {file.path: read(file.path) for file in files}
        self.state_before = self.state()

    def state(self) -> dict[str, Any]:
        return systemd_state.state(self.run, self.unit)

    def differences(self) -> list[dict[str, str]]:
        """Diffs of the files that are not as wanted."""
        return [diff(self.before[file.path], file) for file in self.files if not same(self.before[file.path], file)]

    def current(self) -> bool:
        """Whether the files are as wanted, and what runs was started from them."""
        state = self.state_before
        stamp = read(self.stamp) if self.stamp else None
        started_from = stamp.content.strip() if stamp else state["spec_hash"]
        runs = state["active"] == "active" and state["enabled"] and started_from == self.spec_hash
        return bool(runs) and not self.differences()

    def systemctl(self, *words: str) -> None:
        self.run(["systemctl", *words], check_rc=True)

    def start(self, files: Sequence[File], healthy: Callable[[], str], timeout: float) -> str:
        """Write ``files``, start the unit from them, and wait until ``healthy`` has nothing to say: why not, or nothing."""
        self.stop()  # by the unit that started it: a new one may not know of its container
        for file in files:
            write(file)
        self.systemctl("daemon-reload")
        self.systemctl("enable", "--quiet", self.unit)
        code, _unused, error = self.run(["systemctl", "restart", self.unit])
        return f"it could not be started: {error.strip()}" if code else self.wait(healthy, timeout)

    def wait(self, healthy: Callable[[], str], timeout: float) -> str:
        """Why the service is not well after ``timeout`` seconds, or as soon as it ended or is hopeless; empty when it is."""
        deadline = time.monotonic() + timeout
        while True:
            state = self.state()
            if state["active"] != "active":
                return f"it ended ({state['result']}, exit status {state['exit_status']})"
            try:
                why = healthy()
            except Hopeless as reason:
                return str(reason)
            if not why:
                return ""
            if time.monotonic() > deadline:
                return f"not healthy within {timeout:.0f} s: {why}"
            time.sleep(_EVERY_S)

    def log(self, lines: int) -> list[str]:
        """The last lines of the unit's journal since its last start."""
        return systemd_state.log(self.run, self.unit, self.state()["since"], lines)

    def stop(self) -> None:
        if self.state()["exists"]:
            self.systemctl("stop", self.unit)

    def back(self) -> None:
        """The files as they were at the beginning, and not running: of a unit that was not there nothing stays."""
        self.stop()
        for path, file in self.before.items():
            if file is not None:
                write(file)
            elif Path(path).exists():
                if path.endswith(f"/{self.unit}"):
                    self.systemctl("disable", "--quiet", self.unit)
                Path(path).unlink()
        self.systemctl("daemon-reload")

    def remove(self) -> None:
        """Stop it, and forget its files."""
        if self.state_before["exists"]:
            self.systemctl("disable", "--quiet", "--now", self.unit)
        for path, file in self.before.items():
            if file is not None:
                Path(path).unlink()
                if Path(path).parent.name.endswith(".service.d") and not any(Path(path).parent.iterdir()):
                    Path(path).parent.rmdir()
        self.systemctl("daemon-reload")
