# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A model's folder on disk: what is in it, whether it is as its manifest lists it, and its ``READY``.

The one place that writes ``.fullrank``. Private to this collection.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common import files as common_files
from ansible_collections.fullrank.serving.plugins.module_utils.weights import manifest as weights_manifest
from ansible_collections.fullrank.serving.plugins.module_utils.weights.manifest import ManifestError, Problem

# hashlib releases the interpreter for pieces of this size, so threads hash side by side
PIECE_BYTES = 4 << 20
MOST_THREADS = 16


def default_threads() -> int:
    """As many as there are processors, up to where a disk is the limit."""
    return min(MOST_THREADS, len(os.sched_getaffinity(0)))


def sizes(root: Path) -> dict[str, int]:
    """Path → bytes of every file below ``root`` that can belong to a model.

    Symbolic links to files are followed, as the caches of the hubs consist of them; one that leads nowhere is left out.
    """
    found: dict[str, int] = {}
    for folder, folders, names in os.walk(root):
        place = Path(folder)
        relative = place.relative_to(root)
        if place == root:
            folders[:] = [name for name in folders if name not in weights_manifest.BOOKKEEPING]
        for name in names:
            path = (relative / name).as_posix()
            if weights_manifest.is_weight_path(path) and (place / name).is_file():
                found[path] = (place / name).stat().st_size
    return found


def outside(root: Path, paths: Iterable[str]) -> list[str]:
    """The folders of ``paths``, and ours, that lie outside of ``root`` by a link: what is written there would leave it.

    A file that is itself a link does no harm: it is replaced, not followed.
    """
    inside = root.resolve()
    folders = {(root / path).parent for path in [*paths, weights_manifest.MANIFEST, f"{weights_manifest.PARTIAL}/any"]}
    found = {folder: folder.resolve() for folder in folders}
    return sorted(str(folder) for folder, real in found.items() if inside != real and inside not in real.parents)


def hash_file(path: Path, report: Callable[[int], None] | None = None) -> str:
    """The sha256 of a file; ``report`` gets the bytes of each piece. Raises OSError."""
    total = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)
        buffer = bytearray(PIECE_BYTES)
        view = memoryview(buffer)
        while count := file.readinto(buffer):
            total.update(view[:count])
            if report:
                report(count)
    return total.hexdigest()


def hash_files(
    root: Path, paths: Iterable[str], threads: int = 0, report: Callable[[int], None] | None = None
) -> dict[str, str]:
    """Path → sha256, several files at a time. ``threads`` 0: as the machine allows. ``report`` is called from several threads."""
    wanted = list(paths)
    with ThreadPoolExecutor(threads or default_threads()) as pool:
        return dict(zip(wanted, pool.map(lambda path: hash_file(root / path, report), wanted)))  # noqa: B905 - not in Python 3.9


def verify(
    root: Path,
    files: Sequence[Mapping[str, Any]],
    *,
    quick: bool = False,
    threads: int = 0,
    report: Callable[[int], None] | None = None,
) -> list[Problem]:
    """What is wrong with the listed files (path, size, sha256), in their order; empty when they are exactly these.

    ``quick`` compares sizes only. A file of the wrong size is not hashed.
    """
    problems = weights_manifest.wrong_sizes(files, sizes(root))
    if not quick:
        known = {one["path"] for one in problems}
        rest = [one for one in files if one["path"] not in known]
        with ThreadPoolExecutor(threads or default_threads()) as pool:
            judged = pool.map(lambda one: _judge(root, one, report), rest)
            problems += [found for found in judged if found]
    return sorted(problems, key=lambda one: str(one["path"]))


def _judge(root: Path, one: Mapping[str, Any], report: Callable[[int], None] | None) -> Problem | None:
    try:
        found = hash_file(root / one["path"], report)
    except OSError as error:
        return weights_manifest.problem(one, "unreadable", one["sha256"], str(error))
    return weights_manifest.problem(one, "sha256", one["sha256"], found) if found != one["sha256"] else None


@dataclass(frozen=True)
class Copy:
    """The state of a model's folder by its own bookkeeping."""

    manifest: dict[str, Any] | None
    digest: str
    """The sha256 of the manifest's bytes; empty without one."""
    ready: bool
    """``READY`` is there and belongs to this manifest. It tells nothing of the files: see ``verify``."""
    why_not: str
    """In words, when not ready."""


def look(root: Path) -> Copy:
    """Manifest and ``READY`` of a folder, whatever state it is in."""
    try:
        content = (root / weights_manifest.MANIFEST).read_bytes()
    except OSError as error:
        return Copy(None, "", False, f"no manifest: {error}")
    found = weights_manifest.digest(content)
    try:
        manifest = weights_manifest.parse(content)
    except ManifestError as error:
        return Copy(None, found, False, f"{root / weights_manifest.MANIFEST}: {error}")
    try:
        ready = (root / weights_manifest.READY).read_text(encoding="utf-8").strip()
    except OSError:
        return Copy(
            manifest,
            found,
            False,
            f"{root / weights_manifest.READY} is not there: the copy was never verified to its end",
        )
    if ready != found:
        return Copy(manifest, found, False, f"{root / weights_manifest.READY} belongs to another manifest")
    return Copy(manifest, found, True, "")


def why_not_ready(copy: Copy, problems: Sequence[Problem], expected: str = "", by_contents: bool = False) -> str:
    """The first reason not to start an engine from a copy, in words; empty when there is none.

    expected: the sha256 that its manifest must have, if not empty. by_contents: whether ``problems`` comes from reading every
    byte; a copy whose contents are right needs no earlier ``READY``.
    """
    if copy.manifest is None:
        return copy.why_not
    if expected not in ("", copy.digest):
        return f"its manifest is {copy.digest}, and {expected} is wanted: it holds other weights"
    if problems:
        more = f" (and {len(problems) - 3} more files)" if len(problems) > 3 else ""
        return "; ".join(weights_manifest.describe(one) for one in problems[:3]) + more
    return "" if copy.ready or by_contents else copy.why_not


def write(root: Path, name: str, content: bytes) -> None:
    """Write a file of ``.fullrank`` in one step; ``name`` is relative to ``root``.

    Raises OSError, also where ``.fullrank`` is a link that leads out: the user of a worker could have made it.
    """
    if outside(root, [name]):
        raise OSError(f"{root / name}: a link leads out of the folder")
    common_files.write(root / name, content, 0o644)


def write_manifest(root: Path, manifest: Mapping[str, Any]) -> str:
    """Write the manifest; a ``READY`` of another one goes first. Returns the digest."""
    content = weights_manifest.render(manifest)
    found = look(root)
    if found.digest != weights_manifest.digest(content):
        unready(root)
        write(root, weights_manifest.MANIFEST, content)
    return weights_manifest.digest(content)


def mark_ready(root: Path) -> None:
    """Record that the files were verified against the manifest that is there; call it after that only."""
    content = (root / weights_manifest.MANIFEST).read_bytes()
    write(root, weights_manifest.READY, f"{weights_manifest.digest(content)}\n".encode())


def unready(root: Path) -> None:
    """Take ``READY`` away: before the first file is touched."""
    with contextlib.suppress(FileNotFoundError):
        (root / weights_manifest.READY).unlink()
        common_files.sync_folder(root / weights_manifest.FOLDER)
