# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The user that works on a model's folder: its owner, or one that owns nothing else. Private to this collection.

A worker reads what others wrote: listings, pointers, headers, manifests. As a user of its own it can neither read the keys of
this node nor signal what runs here, whatever is wrong in it or in a client that it calls. It is an account, and no dynamic user,
for what it wrote stays when it ends, and a download goes on another day.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import stat
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.systemd import transient

NAME = "fullrank-weights"
UID = 61000
"""Number of the account's user and group, where it is free: nodes may share a folder, so it is the same on all of them.

systemd leaves 60578 to 61183 unused (https://systemd.io/UIDS-GIDS/), as login and useradd do.
"""
_ACCOUNT = f'u {NAME} {UID} "weights of fullrank"'
"""A line of sysusers.d(5): neither a home nor a shell."""
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
            for descriptor, names in _walk(folder):
                for name in names:
                    os.chown(name, self.uid, self.gid, dir_fd=descriptor, follow_symlinks=False)


def hand_over(folder: Path | None, reads: Sequence[str]) -> Worker:
    """The worker for ``folder``, which exists and can be written to by it afterwards; None for one that only reads.

    That is the folder's owner, unless it is root. What belongs to root in it, such as the parts of a download by an earlier
    version, then belongs to the worker. Files with several names stay as they are: another folder may have them too, and they are
    replaced, not written to. reads: paths that must be readable. Root works where that cannot be had: a folder that only root
    can reach, or a file system without owners.
    """
    status = folder.stat() if folder else None
    worker = Worker(status.st_uid, status.st_gid) if status and status.st_uid else account()
    if worker.why_root:
        return worker
    if not has_name(worker.uid):  # systemd starts nothing for such a user
        return Worker(0, 0, f"{folder} belongs to user {worker.uid}, who has no account here")
    parents = [("x", str(folder.parent))] if folder else []
    if lacks := _lacks(worker, [*parents, *(("r", path) for path in reads)]):
        return Worker(0, 0, f"user {worker.uid} does not reach {lacks}")
    if folder:
        try:
            _give(folder, worker)
        except OSError as error:
            return Worker(0, 0, f"{folder} cannot be given to user {worker.uid}: {error.strerror}")
        folders = [place for place, *_unused in os.walk(folder)]
        if lacks := _lacks(worker, [(test, path) for path in folders for test in "xw"]):
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


def _give(folder: Path, worker: Worker) -> None:
    for descriptor, names in _walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):  # another node works here too, and has moved it to its place
                status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                shared = stat.S_ISREG(status.st_mode) and status.st_nlink > 1
                if status.st_uid == 0 and not shared and not stat.S_ISLNK(status.st_mode):
                    os.chown(name, worker.uid, worker.gid, dir_fd=descriptor, follow_symlinks=False)


def _walk(folder: Path) -> Iterator[tuple[int, list[str]]]:
    """Descriptor of each folder, and names in it, itself (``.``) first; no link is followed, not even one that is new."""
    for _place, folders, files, descriptor in os.fwalk(folder, follow_symlinks=False):
        yield descriptor, [".", *files, *[name for name in folders if _is_link(name, descriptor)]]


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
