# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What all sources of weights have in common. Private to this collection."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

from ansible_collections.fullrank.serving.plugins.module_utils.weights.fetch.plan import Entry, is_commit

Finished = Callable[[Entry, Path], None]
"""Called with each file that is there in its full size, as soon as it is; from several threads."""
COPY_BYTES = 8 << 20


class Refused(Exception):
    """Trying again would not help; the text is the reason."""


class Part:
    """A file of which no more is written than its listed size: a server may send without an end."""

    def __init__(self, file: BinaryIO, entry: Entry) -> None:
        self._file, self._entry = file, entry

    def write(self, piece: bytes) -> int:
        """As of a file. Raises ``Refused`` before the first byte too many is written."""
        if self._file.tell() + len(piece) > self._entry.size:
            raise Refused(f"{self._entry.path}: the server sends more than the {self._entry.size} bytes that it lists")
        return self._file.write(piece)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class Source:
    """``listing`` gives the commit and all files of it; ``fetch`` brings some of them to ``folder/<path>``.

    What ``fetch`` finds in the folder is the beginning of the same file, and is continued.
    """

    def __init__(self, request: dict[str, Any], token: str) -> None:
        self.request = request
        self.token = token
        self.repo: str = request["repo"]
        self.workers: int = request["workers"]

    def listing(self) -> tuple[str, list[Entry]]:
        raise NotImplementedError

    def fetch(self, entries: Sequence[Entry], folder: Path, finished: Finished) -> None:
        raise NotImplementedError

    def _pinned(self, commit: str, *, of_git: bool = False) -> None:
        if not is_commit(self.request["revision"], of_git=of_git):
            revision = self.request["revision"]
            text = (
                f"revision {revision!r} is a branch or a tag, which can move; it"
                if revision
                else "no revision is given; the model"
            )
            raise Refused(
                f"{text} is now at commit {commit}: write that"
                if is_commit(commit, of_git=of_git)
                else f"{text} cannot be resolved: write the commit's 40 digits"
            )

    def _each(self, work: Callable[[Entry], None], entries: Sequence[Entry]) -> None:
        """Several files at a time; after the first error no further one is begun."""
        with ThreadPoolExecutor(self.workers) as pool:
            waiting = [pool.submit(work, one) for one in entries]
            try:
                for one in waiting:
                    one.result()
            finally:
                for one in waiting:
                    one.cancel()
