# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program that fetches: ``python -m ...fetch.worker FOLDER``, FOLDER holding ``request.json`` and, for a moment, ``token``.

Lists, checks the space, fetches what is missing, verifies each file before it gets its name, writes the manifest and ``READY``.
Its progress is in ``FOLDER/progress.json``. Private to this collection.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common import files as common_files
from ansible_collections.fullrank.serving.plugins.module_utils.weights import folder as weights_folder
from ansible_collections.fullrank.serving.plugins.module_utils.weights import manifest
from ansible_collections.fullrank.serving.plugins.module_utils.weights.fetch import plan
from ansible_collections.fullrank.serving.plugins.module_utils.weights.fetch.plan import Entry
from ansible_collections.fullrank.serving.plugins.module_utils.weights.fetch.sources import SOURCES, Refused, Source

# rounds in which not one byte came, before the fetch is given up; the waits between them double from FIRST_WAIT_S
STALLED_ROUNDS = 6
FIRST_WAIT_S = 1.0
REFUSING_STATUS = (401, 403, 404)
MOST_REASONS = 5


def log(text: str) -> None:
    """A line in the journal."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


class Progress:
    """``progress.json``, written every second from what lies on the disk, whoever put it there."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "progress.json"
        self.state: dict[str, Any] = {
            "phase": "listing",
            "bytes": 0,
            "total": 0,
            "files_done": 0,
            "files": 0,
            "error": "",
        }
        self.parts: Path | None = None
        self.in_place = 0
        self._lock = threading.Lock()
        self._stop = threading.Event()

    def run(self) -> None:
        while not self._stop.wait(1):
            self.write()

    def end(self, phase: str, error: str = "") -> None:
        self._stop.set()
        self.state.update(phase=phase, error=error)
        self.write()

    def arrived(self) -> int:
        """Bytes that are here, finished or not."""
        return self.in_place + (folder_bytes(self.parts) if self.parts else 0)

    def write(self) -> None:
        with self._lock:
            self.state |= {"bytes": min(self.arrived(), self.state["total"]), "at": time.time()}
            common_files.write(self.file, json.dumps(self.state), 0o644, lasting=False)


def folder_bytes(folder: Path) -> int:
    total = 0
    for place, _unused, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):  # it was moved into place meanwhile
                total += (Path(place) / name).stat().st_size
    return total


class Journal:
    """Which finished files were verified, so that a run after an interruption does not read them all again."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.file = root / manifest.JOURNAL
        self.known: dict[str, list[Any]] = {}
        self._lock = threading.Lock()
        with contextlib.suppress(OSError):
            for line in self.file.read_text().splitlines():
                with contextlib.suppress(ValueError):  # a line cut off by a crash
                    path, size, mtime, sha256 = json.loads(line)
                    self.known[path] = [size, mtime, sha256]

    def sha256(self, path: str) -> str:
        """The sha256 of a file that did not change since it was noted; empty otherwise."""
        status = (self.root / path).stat()
        noted = self.known.get(path)
        return str(noted[2]) if noted and noted[:2] == [status.st_size, status.st_mtime_ns] else ""

    def note(self, path: str, sha256: str) -> None:
        status = (self.root / path).stat()
        with self._lock:
            self.known[path] = [status.st_size, status.st_mtime_ns, sha256]
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with self.file.open("a") as file:
                file.write(json.dumps([path, *self.known[path]]) + "\n")


def git_id(path: Path, digits: int = 40) -> str:
    """The name that git gives to the content of a file. digits: 64 in a repository with SHA-256, else 40."""
    total = hashlib.new("sha256" if digits == 64 else "sha1", b"blob %d\0" % path.stat().st_size)
    with path.open("rb") as file:
        while piece := file.read(weights_folder.PIECE_BYTES):
            total.update(piece)
    return total.hexdigest()


class Fetch:
    """One request, brought to its end."""

    def __init__(self, request: dict[str, Any], source: Source, progress: Progress) -> None:
        self.request = request
        self.source = source
        self.progress = progress
        self.root = Path(request["path"])
        self.journal = Journal(self.root)
        self.sums: dict[str, str] = {}
        self.wrong: dict[str, int] = {}
        self._lock = threading.Lock()

    def run(self) -> None:
        commit, listed = self.source.listing()
        entries = self._wanted(listed)
        self.progress.state.update(total=sum(one.size for one in entries), files=len(entries))
        self.root.mkdir(parents=True, exist_ok=True)
        (self.root / manifest.PARTIAL).mkdir(parents=True, exist_ok=True)
        self.progress.state["phase"] = "checking"
        with ThreadPoolExecutor(weights_folder.default_threads()) as pool:
            there = list(pool.map(self._have, entries))
        missing = [one for one, has in zip(entries, there) if not has]  # noqa: B905 - not in Python 3.9
        if missing:
            self._bring(missing, self.root / manifest.PARTIAL / plan.partial_name(self.request, entries))
        self.progress.state["phase"] = "finishing"
        self._finish(commit, entries)

    def _wanted(self, listed: Sequence[Entry]) -> list[Entry]:
        if wrong := plan.refused(listed):
            more = f"; and {len(wrong) - MOST_REASONS} more" if len(wrong) > MOST_REASONS else ""
            raise Refused(f"the source lists what must not be followed: {'; '.join(wrong[:MOST_REASONS])}{more}")
        include, exclude = self.request["include"], self.request["exclude"]
        entries = [one for one in plan.usable(listed) if plan.chosen(one.path, include, exclude)]
        if not entries:
            raise Refused(f"none of the {len(listed)} files is wanted; include: {include}, exclude: {exclude}")
        if outside := weights_folder.outside(self.root, [one.path for one in entries]):
            raise Refused(f"links lead out of {self.root}: {', '.join(outside)}; remove them, or take another folder")
        return entries

    def _have(self, entry: Entry) -> bool:
        """Whether the file is in place, with the right content; notes its sha256."""
        file = self.root / entry.path
        if not file.is_file() or file.stat().st_size != entry.size:
            return False
        sha256 = self.journal.sha256(entry.path)
        if not sha256:
            sha256 = weights_folder.hash_file(file)
            if not self._right(entry, file, sha256) or not self._is_own(entry):
                return False
            self.journal.note(entry.path, sha256)
        elif entry.sha256 not in ("", sha256):
            return False
        self._count(entry, sha256)
        return True

    def _is_own(self, entry: Entry) -> bool:
        """A file without any checksum counts only where it cannot come from elsewhere: in the model's own folder."""
        return bool(entry.sha256 or entry.git_id) or Path(self.request["repo"]) == self.root

    def _right(self, entry: Entry, file: Path, sha256: str) -> bool:
        if entry.sha256:
            return sha256 == entry.sha256
        return not entry.git_id or git_id(file, len(entry.git_id)) == entry.git_id

    def _count(self, entry: Entry, sha256: str) -> None:
        with self._lock:
            self.sums[entry.path] = sha256
            self.progress.in_place += entry.size
            self.progress.state["files_done"] = len(self.sums)

    def _bring(self, missing: Sequence[Entry], parts: Path) -> None:
        self._check_space(missing, parts)
        weights_folder.unready(self.root)
        for old in parts.parent.iterdir():  # parts of another revision, or of other patterns
            if old.is_dir() and old.name not in (parts.name, "controller", "git"):
                shutil.rmtree(old)
        self.progress.parts = parts
        self.progress.state["phase"] = "fetching"
        stalled = 0
        before = self.progress.arrived()
        while rest := [one for one in missing if one.path not in self.sums]:
            error: Exception | None = None
            try:
                self.source.fetch(rest, parts, self._finished)
            except Refused:
                raise
            except Exception as raised:
                give_up(raised)
                error = raised
                log(f"{type(raised).__name__}: {raised}")
            if all(one.path in self.sums for one in rest):
                return
            now = self.progress.arrived()
            stalled = 0 if now > before else stalled + 1
            before = max(now, before)
            if stalled >= STALLED_ROUNDS:
                raise Refused(f"nothing arrived in {STALLED_ROUNDS} tries; the last one: {error or 'without an error'}")
            self.progress.state["error"] = str(error or "")
            time.sleep(FIRST_WAIT_S * 2**stalled)

    def _check_space(self, missing: Sequence[Entry], parts: Path) -> None:
        needed = sum(one.size for one in missing) - folder_bytes(parts)
        free = shutil.disk_usage(self.root).free
        # what comes from the controller is here already
        if self.request["hub"] != "controller" and (why := plan.lacking_space(str(self.root), needed, free)):
            raise Refused(why)

    def _finished(self, entry: Entry, part: Path) -> None:
        """Verify a file that is complete, and give it its name; one with a wrong content is thrown away."""
        sha256 = weights_folder.hash_file(part)
        if not self._right(entry, part, sha256):
            part.unlink()
            with self._lock:
                self.wrong[entry.path] = self.wrong.get(entry.path, 0) + 1
            if self.wrong[entry.path] > 1:
                raise Refused(
                    f"{entry.path} arrived twice with a content that is not what the source lists (sha256 {sha256}, "
                    f"should be {entry.sha256 or 'git ' + entry.git_id})"
                )
            raise OSError(f"{entry.path} arrived damaged (sha256 {sha256}); once more")
        common_files.place(part, self.root / entry.path)
        self.journal.note(entry.path, sha256)
        self._count(entry, sha256)

    def _finish(self, commit: str, entries: Sequence[Entry]) -> None:
        files = [{"path": one.path, "size": one.size, "sha256": self.sums[one.path]} for one in entries]
        source = {"hub": self.request["hub"], "repo": self.request["repo"], "revision": commit}
        weights_folder.write_manifest(self.root, manifest.build(source, files))
        weights_folder.write(self.root, plan.REQUEST, json.dumps(plan.deciding(self.request)).encode())
        weights_folder.mark_ready(self.root)
        shutil.rmtree(self.root / manifest.PARTIAL)


def give_up(error: BaseException) -> None:
    """Raise ``Refused`` for what another try would meet again."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        raise Refused(f"the disk is full: {error}; free some space: what arrived is kept") from None
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in REFUSING_STATUS:
        raise Refused(f"the hub refuses ({status}): {' '.join(str(error).split())[:300]}") from None


def take(folder: Path, name: str) -> str:
    """The content of a file, which from now on is nowhere but in this process; empty without one."""
    file = folder / name
    if not file.exists():
        return ""
    text = file.read_text().strip()
    file.unlink()
    return text


def main() -> int:
    # SIGINT ends it as SIGTERM does: at once, and not when the files that are on their way have arrived
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    folder = Path(sys.argv[1])
    request = json.loads((folder / "request.json").read_text())
    os.environ.update(json.loads(take(folder, "environment") or "{}"))
    progress = Progress(folder)
    threading.Thread(target=progress.run, daemon=True).start()
    try:
        Fetch(request, SOURCES[request["hub"]](request, take(folder, "token")), progress).run()
    except Exception as error:
        try:
            give_up(error)
        except Refused as refused:
            error = refused
        text = str(error) if isinstance(error, Refused) else f"{type(error).__name__}: {error}"
        log(text)
        progress.end("failed", text)
        return 1
    progress.end("done")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
