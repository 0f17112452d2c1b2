# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The user that works on a model's folder: its owner, or one that owns nothing else. Private to this collection.

A worker reads what others wrote: listings, pointers, headers, manifests. As a user of its own it can neither read the keys of
this node nor signal what runs here, whatever is wrong in it or in a client that it calls. It is an account, and no dynamic user,
for what it wrote stays when it ends, and a download goes on another day.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import stat
import subprocess
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.node import system_paths
from ansible_collections.fullrank.serving.plugins.module_utils.systemd import transient
from ansible_collections.fullrank.serving.plugins.module_utils.weights import folder as weights_folder
from ansible_collections.fullrank.serving.plugins.module_utils.weights import manifest as weights_manifest

NAME = "fullrank-weights"
UID = 61000
"""Number of the account's user and group, where it is free: nodes may share a folder, so it is the same on all of them.

systemd leaves 60578 to 61183 unused (https://systemd.io/UIDS-GIDS/), as login and useradd do.
"""
_ACCOUNT = f'u {NAME} {UID} "weights of fullrank"'
"""A line of sysusers.d(5): neither a home nor a shell."""
SHOWN = 3
"""Files of others in a message."""
_OF_A_FILE_SYSTEM = ("lost+found", ".snapshot", ".snapshots", ".zfs")
"""What a file system has in its own root."""
_KINDS = (stat.S_IFREG, stat.S_IFDIR)
"""Of what this collection makes."""
# pairs of a test and a path; the first path that fails the test is printed
_PROBE = 'while [ $# -gt 0 ]; do test -"$1" "$2" || { printf %s "$2"; exit 1; }; shift 2; done'


@dataclass(frozen=True)
class Worker:
    """Who works. ``why_root``: why it has to be root; empty when it is another user."""

    uid: int
    gid: int
    why_root: str = ""

    @property
    def privileges(self) -> dict[str, Any]:
        """What its `transient.Sandbox` gets: root keeps two capabilities, for folders and files of others."""
        if self.uid:
            return {"user": (self.uid, self.gid)}
        return {"capabilities": transient.FILES_OF_OTHERS}

    def own(self, folder: Path) -> None:
        """Give it a folder that root made for it, with all that is in it. Raises OSError."""
        if self.uid:
            for _place, descriptor, names in _walk(folder):
                for name in names:
                    os.chown(name, self.uid, self.gid, dir_fd=descriptor, follow_symlinks=False)


class NotOurs(Exception):
    """A folder in which others keep something. remedy: what to do."""

    def __init__(self, why: str, remedy: str) -> None:
        super().__init__(f"{why}: {remedy}")
        self.why, self.remedy = why, remedy


def refuse_foreign(folder: Path, listed: Collection[str] = (), *, as_it_is: bool = False) -> None:
    """Raise ``NotOurs`` for a folder that no worker may write to: one of the system, or one with files and without our mark.

    Call it before anything is made in the folder. What is new or empty may be given away, and what has our ``.fullrank``, for
    this collection made it; so did its earlier versions, as root. listed: paths that may be there, for they belong to the model.
    as_it_is: the files there are only read, and the worker gets ``.fullrank`` alone.
    """
    real = folder.resolve()
    named = str(folder) if folder == real else f"{folder}, which is {real},"
    if why := system_paths.reserved(str(real)):
        raise NotOurs(f"{named} {why}", "take one of its own, such as /data/models/NAME")
    mark = real / weights_manifest.FOLDER
    if mark.is_symlink():
        raise NotOurs(f"{mark} is a link", "remove it")
    if as_it_is or not real.is_dir() or mark.is_dir():
        return
    others = list(islice(_others(real, listed), SHOWN + 1))
    if others:
        named_others = ", ".join(sorted(others)[:SHOWN]) + (" and more" if len(others) > SHOWN else "")
        raise NotOurs(
            f"{named} holds {named_others} and has no {weights_manifest.FOLDER}: it was not made by this collection, and others "
            "may use what is in it",
            f"take a new folder; where everything in it is of this model, make {mark} to say so: what is right is kept, and what "
            "is wrong is replaced",
        )


def _others(folder: Path, listed: Collection[str]) -> Iterator[str]:
    """What lies in a folder and is not listed."""
    if not listed:
        yield from (one.name for one in folder.iterdir() if one.name not in _OF_A_FILE_SYSTEM)
        return
    for place, folders, files in os.walk(folder):
        here = Path(place).relative_to(folder)
        if Path(place) == folder:
            folders[:] = [one for one in folders if one not in (*_OF_A_FILE_SYSTEM, *weights_manifest.BOOKKEEPING)]
        yield from (path for name in files if (path := (here / name).as_posix()) not in listed)


def hand_over(folder: Path | None, reads: Sequence[str], listed: Collection[str] = ()) -> Worker:
    """The worker for ``folder``, which exists and can be written to by it afterwards; None for one that only reads.

    That is the folder's owner, unless it is root. Of what belongs to root in it the worker gets ours (`_ours`), such as the parts
    of a download by an earlier version, and nothing else. Files with several names stay as they are: another folder may have them
    too, and they are replaced, not written to. reads: paths that must be readable. listed: as in `refuse_foreign`; they are ours.
    Root works where that cannot be had: a folder that only root can reach, or a file system without owners. Raises ``NotOurs``.
    """
    own = bool(folder and folder.name == weights_manifest.FOLDER)  # of weights that are taken as they are
    if folder:
        refuse_foreign(folder.parent if own else folder, listed, as_it_is=own)
    parents = [("x", str(place)) for place in dict.fromkeys((folder.parent, folder.resolve().parent))] if folder else []
    folder = folder.resolve() if folder else None
    status = folder.stat() if folder else None
    worker = Worker(status.st_uid, status.st_gid) if status and status.st_uid else account()
    if worker.why_root:
        return worker
    if not has_name(worker.uid):  # systemd starts nothing for such a user
        return Worker(0, 0, f"{folder} belongs to user {worker.uid}, who has no account here")
    if lacks := _lacks(worker, [*parents, *(("r", path) for path in reads)]):
        return Worker(0, 0, f"user {worker.uid} does not reach {lacks}")
    if folder:
        try:
            _give(folder, worker, None if own else _ours(folder, listed))
        except OSError as error:
            return Worker(0, 0, f"{folder} cannot be given to user {worker.uid}: {error.strerror}")
        if lacks := _lacks(worker, [(test, path) for path in _folders(folder) for test in "xw"]):
            return Worker(0, 0, f"user {worker.uid} cannot write to {lacks}")
    return worker


def account() -> Worker:
    """The account of workers, which is made where it is missing."""
    for _attempt in ("as it is", "made"):
        with contextlib.suppress(KeyError):
            found = pwd.getpwnam(NAME)
            return Worker(found.pw_uid, found.pw_gid)
        try:
            done = subprocess.run(
                ["systemd-sysusers", "--inline", _ACCOUNT], capture_output=True, text=True, check=False
            )
        except OSError as error:
            return Worker(0, 0, f"the account {NAME} cannot be made: systemd-sysusers: {error.strerror}")
    return Worker(0, 0, f"the account {NAME} cannot be made: {done.stderr.strip() or 'it is not there afterwards'}")


def has_name(uid: int) -> bool:
    """Whether a number has an account on this node."""
    with contextlib.suppress(KeyError):
        return bool(pwd.getpwuid(uid))
    return False


def _give(folder: Path, worker: Worker, ours: Collection[str] | None) -> None:
    """folder: without links. ours: what of it, beside ``.fullrank``; None for all of it."""
    for place, descriptor, names in _walk(folder):
        for name in names:
            path = (place.relative_to(folder) / name).as_posix()
            if not (ours is None or path in ours or path.split("/")[0] == weights_manifest.FOLDER):
                continue
            with contextlib.suppress(FileNotFoundError):  # another node works here too, and has moved it to its place
                status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                shared = stat.S_ISREG(status.st_mode) and status.st_nlink > 1
                if status.st_uid == 0 and not shared and stat.S_IFMT(status.st_mode) in _KINDS:
                    os.chown(name, worker.uid, worker.gid, dir_fd=descriptor, follow_symlinks=False)


def _ours(folder: Path, listed: Collection[str]) -> set[str]:
    """What this collection brought to a folder: itself, files of the manifest or of the journal, and the folders they are in."""
    found = set(listed)
    manifest = weights_folder.look(folder).manifest
    found.update(one["path"] for one in manifest["files"]) if manifest else None
    with contextlib.suppress(OSError):
        for line in (folder / weights_manifest.JOURNAL).read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(ValueError, TypeError, IndexError):  # cut off by a crash
                found.add(str(json.loads(line)[0]))
    parents = {parent.as_posix() for path in found for parent in Path(path).parents}
    return found | parents | {"."}


def _folders(folder: Path) -> Iterator[str]:
    """The folders that the worker may have to write to."""
    device = folder.stat().st_dev
    for place, names, _unused in os.walk(folder):
        yield place
        names[:] = [name for name in names if name not in _OF_A_FILE_SYSTEM and _device(Path(place, name)) == device]


def _device(path: Path) -> int | None:
    with contextlib.suppress(OSError):
        return path.lstat().st_dev
    return None


def _walk(folder: Path) -> Iterator[tuple[Path, int, list[str]]]:
    """Path and descriptor of each folder, and names in it, itself (``.``) first.

    No link is followed, not even one that is new, and no other file system is entered that is mounted somewhere below.
    """
    device = folder.stat().st_dev
    for place, folders, files, descriptor in os.fwalk(folder, follow_symlinks=False):
        if os.fstat(descriptor).st_dev != device:
            folders[:] = []
            continue
        yield Path(place), descriptor, [".", *files, *[name for name in folders if _is_link(name, descriptor)]]


def _is_link(name: str, descriptor: int) -> bool:
    with contextlib.suppress(OSError):
        return stat.S_ISLNK(os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_mode)
    return False


def _lacks(worker: Worker, wanted: Sequence[tuple[str, str]]) -> str:
    """The first path that fails its test (test(1): r, w or x) as that user; what the kernel and a file server say counts."""
    words = [word for pair in wanted for word in pair]
    try:
        done = subprocess.run(
            ["/bin/sh", "-c", _PROBE, "sh", *words],
            user=worker.uid,
            group=worker.gid,
            extra_groups=[],
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError as error:  # who is not root cannot become another user
        return f"anything ({error.strerror or error})"
    return done.stdout or done.stderr.strip() if done.returncode else ""
