# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A model's folder during a transfer: what is in it already, slices on their way to disk, files on their way to their place.

What is not known to be right lies below ``.fullrank/partial``, where the next transfer finds it. Private to this collection.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import threading
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common import files as common_files
from ansible_collections.fullrank.serving.plugins.module_utils.weights import folder
from ansible_collections.fullrank.serving.plugins.module_utils.weights import manifest as weights_manifest
from ansible_collections.fullrank.serving.plugins.module_utils.weights.transfer.slices import (
    File,
    Progress,
    Shelf,
    Stop,
    log,
)

CHUNK_BYTES = 1 << 20
MOST_ATTEMPTS = 3


@contextlib.contextmanager
def reading(file: File) -> Iterator[int]:
    """A descriptor of what is here, wherever it lies just now."""
    try:
        descriptor = os.open(file.place if file.placed else file.partial, os.O_RDONLY)
    except FileNotFoundError:  # put into its place at this very moment
        descriptor = os.open(file.place, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def pieces(file: File, number: int) -> Iterator[bytes]:
    """A slice in chunks, as it is on disk; shorter when the file is."""
    offset, left = file.span(number)
    with reading(file) as descriptor:
        while left and (chunk := os.pread(descriptor, min(left, CHUNK_BYTES), offset)):
            yield chunk
            offset, left = offset + len(chunk), left - len(chunk)


def crc_on_disk(file: File, number: int) -> int:
    """The CRC-32 of what a slice is on disk now."""
    value = 0
    for chunk in pieces(file, number):
        value = zlib.crc32(chunk, value)
    return value


def crc_to_send(file: File, number: int) -> int:
    """The CRC-32 with which a slice travels: as it came; computed where it did not come over the network."""
    value = file.crcs.get(number)
    if value is None:
        value = file.crcs[number] = crc_on_disk(file, number)
    return value


class Folder:
    """The model's folder on a node that receives."""

    def __init__(self, root: Path, manifest: Mapping[str, Any], shelf: Shelf, progress: Progress, origin: str) -> None:
        """``origin`` is the node whose copy the others have, in the end."""
        self.root, self.manifest, self.shelf, self.progress, self.origin = root, manifest, shelf, progress, origin
        self.turn, self.attempts = threading.Lock(), Counter[int]()
        self.waiting: Iterator[File] = iter(())

    def check(self) -> None:
        """Find what is here already: every file is hashed, whatever ``READY`` holds."""
        if outside := folder.outside(self.root, [file.path for file in self.shelf.files]):
            raise Stop(f"links lead out of {self.root}: {', '.join(outside)}; remove them, or take another folder")
        copy = folder.look(self.root)
        if copy.ready or copy.digest != weights_manifest.digest(weights_manifest.render(self.manifest)):
            folder.unready(self.root)
        with ThreadPoolExecutor(folder.default_threads()) as pool:
            list(pool.map(self._check_file, self.shelf.files))
        self.waiting = iter([file for file in self.shelf.files if not file.placed])

    def _check_file(self, file: File) -> None:
        if file.place.is_file() and file.place.stat().st_size == file.size:
            if folder.hash_file(file.place, lambda count: self.progress.count(checked=count)) == file.sha256:
                self.shelf.add_all(file)
                return
            # most of it may be right; but what others may hold as well (a link into a hub's cache) is not ours to change
            if not file.partial.exists() and not file.place.is_symlink() and file.place.stat().st_nlink == 1:
                file.partial.parent.mkdir(parents=True, exist_ok=True)
                file.place.replace(file.partial)
        file.inherited = file.partial.exists()

    def open_partial(self, file: File) -> int:
        """A descriptor of the unfinished file, which has its full size from the beginning; raises ``Stop``."""
        try:
            file.partial.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(file.partial, os.O_RDWR | os.O_CREAT, 0o644)
            if os.fstat(descriptor).st_size != file.size:
                os.ftruncate(descriptor, file.size)
        except OSError as error:
            raise Stop(f"{file.partial}: {error.strerror}") from error
        return descriptor

    def write(self, file: File, descriptor: int, view: memoryview, offset: int) -> None:
        """Put bytes into the unfinished file; raises ``Stop``."""
        try:
            while view:
                count = os.pwrite(descriptor, view, offset)
                view, offset = view[count:], offset + count
        except OSError as error:
            missing = self.shelf.total - self.shelf.bytes
            raise Stop(f"{file.partial}: {error.strerror}; {missing} bytes are missing") from error

    def place_files(self) -> None:
        """Follow the slices of one file after the other, and put it into its place when it is what the manifest lists.

        Several threads may do so, each with a file of its own. Raises ``Stop``.
        """
        while file := self.next_file():
            while not (file.placed or self.shelf.stopped):
                self.place(file)

    def next_file(self) -> File | None:
        """A file that no thread cares for yet; None when there is none, or no use."""
        with self.turn:
            return None if self.shelf.stopped else next(self.waiting, None)

    def place(self, file: File) -> None:
        """Put a file into its place when its slices, as they come, are what the manifest lists. Raises ``Stop``."""
        total = hashlib.sha256()
        for number in range(file.count):
            if not self.shelf.wait_for(file, number):
                return
            for chunk in pieces(file, number):
                total.update(chunk)
        if total.hexdigest() != file.sha256:
            self._again(file)
            return
        try:
            if not file.count:
                os.close(self.open_partial(file))
            common_files.place(file.partial, file.place)
        except OSError as error:
            raise Stop(f"{file.place}: {error.strerror}") from error
        self.shelf.add_all(file)

    def _again(self, file: File) -> None:
        self.attempts[file.number] += 1
        if self.attempts[file.number] == MOST_ATTEMPTS:
            raise Stop(
                f"{file.path} came {MOST_ATTEMPTS} times with a wrong sha256 although every slice arrived as it was sent: "
                f"the copy it comes from is damaged, verify that of {self.origin}"
            )
        log(f"{file.path} has a wrong sha256: once more")
        self.shelf.drop(file)

    def finish(self) -> None:
        """Every file is in its place: mark the copy ready."""
        shutil.rmtree(self.root / weights_manifest.PARTIAL, ignore_errors=True)
        folder.write_manifest(self.root, self.manifest)
        folder.mark_ready(self.root)
