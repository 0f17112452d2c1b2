# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a node of a transfer gets what it lacks where nothing but ssh may pass: file by file, by rsync from the node before it.

No node listens: what a node has put into its place is there for the one behind it. A node that has nothing for us, and to which
nothing comes either, is left out for a while. Private to this collection.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common.host_port import bracketed
from ansible_collections.fullrank.serving.plugins.module_utils.weights.transfer.receiver import SILENCE_S, Bringing
from ansible_collections.fullrank.serving.plugins.module_utils.weights.transfer.slices import (
    CHECKING,
    RECEIVING,
    File,
    Route,
    Stop,
    Upstream,
)
from ansible_collections.fullrank.serving.plugins.module_utils.weights.transfer.target import Folder

LOOK_S = 0.5
AGAIN_S = 2.0
# A node that has not got a file is waited for while it takes part itself, and left when its progress is not new for this long.
SILENT_S = 15.0
LEFT_S = 60.0
# Something came to it, or to the node that it waits for, within so many seconds: the wait is no standstill.
LIVES_S = 5.0


def rsync(rsh: str, address: str, path: str, options: Sequence[str], target: str = "") -> list[str]:
    """The command that brings ``path`` of another node to ``target``, or lists it; rsync(1)."""
    words = [
        "rsync",
        f"--rsh={rsh}",
        f"--timeout={SILENCE_S}",
        "--protect-args",
        *options,
        f"{bracketed(address)}:{path}",
    ]
    return words + ([target] if target else [])


class Copier(Bringing):
    """Brings what is missing, as many files at a time as there are streams."""

    def __init__(
        self, folder: Folder, route: Route, *, rsh: str, progress_file: str, streams: int, stall_s: float
    ) -> None:
        """``progress_file``: where each node writes its progress."""
        super().__init__(folder, route, stall_s)
        self.rsh, self.progress_file, self.streams = rsh, progress_file, streams
        self.reported: dict[Upstream, tuple[float, float]] = {}
        """When a node that is waited for reported last, by its clock, and when we saw that first."""

    def work(self) -> list[Callable[[], None]]:
        return [self._files] * self.streams

    def _files(self) -> None:
        while file := self.folder.next_file():
            while not (file.placed or self.shelf.stopped):
                upstream = self.route.current()
                if upstream is None:
                    time.sleep(AGAIN_S)
                elif self._copy(upstream, file):
                    self.folder.place(file)

    def _copy(self, upstream: Upstream, file: File) -> bool:
        """Whether the file came. What came of it is compared and used the next time."""
        file.partial.parent.mkdir(parents=True, exist_ok=True)
        # times are not kept, so that equal ones do not count for equal contents
        options = ["--inplace", "--copy-links", "--ignore-times", "--out-format=%b"]
        words = rsync(self.rsh, upstream.address, str(file.place), options, str(file.partial))
        code, output, error = self._call(words, file)
        if not code:
            file.partial.chmod(0o644)
            self._here(file, file.size, int(output))
            return True
        if "No space left on device" in error:
            missing = self.shelf.total - self.shelf.bytes
            raise Stop(f"{file.partial}: No space left on device; {missing} bytes are missing")
        if "No such file or directory" in error:
            self._not_yet(upstream)
        elif not self.shelf.stopped:
            self.route.leave(upstream, " ".join(error.split()) or f"rsync ended with {code}")
        return False

    def _not_yet(self, upstream: Upstream) -> None:
        """It has not got the file itself: wait, as long as it goes on."""
        other, now = self._progress_of(upstream), time.monotonic()
        takes_part = other.get("phase") in (CHECKING, RECEIVING)
        before, since = self.reported.setdefault(upstream, (0.0, now))
        if takes_part and other["at"] != before:
            self.reported[upstream] = (other["at"], now)
            if other["quiet_s"] < LIVES_S:
                self.progress.count()
        elif now - since > SILENT_S:
            del self.reported[upstream]
            self.route.leave(upstream, "it has not got what is missing here, and does not go on", LEFT_S)
        time.sleep(AGAIN_S)

    def _progress_of(self, upstream: Upstream) -> dict[str, Any]:
        """The progress of the other node; empty when it takes no part."""
        code, output, _unused = self._call([*shlex.split(self.rsh), upstream.address, "cat", self.progress_file])
        return dict(json.loads(output)) if not code else {}

    def _call(self, words: list[str], file: File | None = None) -> tuple[int, str, str]:
        """Exit status and what was written; meanwhile what arrives of ``file`` is counted."""
        english = {**os.environ, "LC_ALL": "C"}
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=english) as process:
            while True:
                try:
                    output, error = process.communicate(timeout=LOOK_S)
                except subprocess.TimeoutExpired:
                    if self.shelf.stopped:
                        process.kill()
                    elif file and not file.inherited:
                        self._here(file, _size(file.partial))
                else:
                    return process.returncode, output, error

    def _here(self, file: File, size: int, received: int = 0) -> None:
        """So many bytes of the file are here, and so many of them came by the call that has ended."""
        whole = file.count if size == file.size else size // file.slice_bytes
        fresh = [number for number in range(whole) if number not in file.here]
        for number in fresh:
            self.shelf.add(file, number)
        if fresh or received:
            self.progress.count(received=received)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
