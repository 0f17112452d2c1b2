# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Weights from a git repository with LFS. Private to this collection."""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
import urllib.parse
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from ansible_collections.fullrank.serving.plugins.module_utils.weights.fetch.plan import SPARE_BYTES, Entry, is_commit
from ansible_collections.fullrank.serving.plugins.module_utils.weights.fetch.source import (
    COPY_BYTES,
    Finished,
    Refused,
    Source,
)

SMALLEST_LIMIT = 1 << 20
"""Of a file that git or git-lfs may write: they write some of their own."""
POINTER_BYTES = 1024
"""A pointer is smaller (git-lfs' specification)."""
AT_ONCE = 1000
"""Blobs that are read by one process: a megabyte of them at most."""
_REF = "refs/fullrank/objects"
_POINTER = "version https://git-lfs.github.com/spec/v1\n"
_DIGITS = re.compile(r"[0-9]{1,18}")
_SENT_ON = re.compile(r"The requested URL returned error: 30[1-8]")


class GitLfs(Source):
    """A bare fetch of one commit, and git-lfs for the objects; they are moved to their place, not copied there."""

    def _settings(self) -> dict[str, str]:
        """The configuration of git and git-lfs beside the node's own.

        The token goes to the server of the repository's address, and to no other: git-lfs asks for the header of each address
        (``http.<url>.*``), such as that of a storage which the server names; git itself would take the header along to where the
        server sends it, so it does not follow.
        """
        # a large blob is streamed, not held in memory (git-config(1), core.bigFileThreshold: 512 MB without it)
        found = {"http.followRedirects": "false", "core.bigFileThreshold": str(COPY_BYTES)}
        server = urllib.parse.urlsplit(self.repo)
        if self.token and server.scheme in ("http", "https"):
            host = server.netloc.rpartition("@")[2]
            found[f"http.{server.scheme}://{host}/.extraHeader"] = f"Authorization: Bearer {self.token}"
        return found

    def _git(
        self, *words: str, folder: Path, into: IO[bytes] | int = subprocess.PIPE, sent: bytes = b"", most: int = 0
    ) -> bytes:
        """What git writes; nothing where that goes ``into`` a file. sent: what it reads. most: bytes of the largest file that it,
        or git-lfs, may write; 0 for no limit. A larger one is an error of writing (setrlimit(2), RLIMIT_FSIZE).
        """
        # by the environment, which only root and this user can read (git-config(1), GIT_CONFIG_COUNT)
        settings = self._settings()
        env = dict(os.environ) | {"GIT_CONFIG_COUNT": str(len(settings))}
        for number, (name, value) in enumerate(settings.items()):
            env |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
        limit = ["prlimit", f"--fsize={max(most, SMALLEST_LIMIT)}"] if most else []
        done = subprocess.run(
            [*limit, "git", *words],
            cwd=folder,
            env=env,
            input=sent,
            stdout=into,
            stderr=subprocess.PIPE,
            check=False,
            restore_signals=False,  # Python ignores SIGXFSZ, and so must they: the write fails, and they say so
        )
        if done.returncode:
            error = done.stderr.decode("utf-8", "replace").strip()[-500:]
            if most and os.strerror(errno.EFBIG).lower() in error.lower():
                raise Refused(f"the server sends more than the {most} bytes that a file may have here ({error})")
            if _SENT_ON.search(error):
                raise Refused(
                    f"the server sends git to another address, which is not followed: write that one ({error})"
                )
            raise RuntimeError(f"git {words[0]}: {error}")
        return done.stdout or b""

    @property
    def clone(self) -> Path:
        return Path(self.request["path"]) / ".fullrank/partial/git"

    def listing(self) -> tuple[str, list[Entry]]:
        revision = self.request["revision"]
        if urllib.parse.urlsplit(self.repo).scheme in ("", "file"):
            # on this node, of whatever owner (git-config(1), safe.directory): git takes this from a file only
            (Path(os.environ["HOME"]) / ".gitconfig").write_text("[safe]\n\tdirectory = *\n")
        if not is_commit(revision, of_git=True):
            found = self._git("ls-remote", self.repo, revision or "HEAD", folder=Path("/")).decode().split()
            self._pinned(found[0] if found else "", of_git=True)
        if not (self.clone / "HEAD").exists():
            self.clone.mkdir(parents=True, exist_ok=True)
            names = ["--object-format=sha256"] if len(revision) == 64 else []  # git 2.29, git-lfs 3.0 and newer
            self._git("init", "--bare", "--quiet", *names, ".", folder=self.clone)
            self._git("remote", "add", "origin", self.repo, folder=self.clone)
        room = shutil.disk_usage(self.clone).free - SPARE_BYTES
        if room <= 0:
            raise Refused(f"the file system of {self.clone} is full")
        self._git("fetch", "--quiet", "--depth=1", "origin", revision, folder=self.clone, most=room)
        blobs = []
        for line in self._git("ls-tree", "-r", "-z", "--long", revision, folder=self.clone).split(b"\0"):
            if not line:
                continue
            about, _unused, path = line.partition(b"\t")
            _unused, kind, blob, size = about.split()
            if kind == b"blob":
                blobs.append((path.decode(errors="surrogateescape"), blob.decode(), int(size)))
        texts = self._texts([blob for _path, blob, size in blobs if size < POINTER_BYTES])
        return revision, [self._entry(*one, texts.get(one[1], "")) for one in blobs]

    def _texts(self, blobs: Sequence[str]) -> dict[str, str]:
        """Blob → its text, of small ones. By few processes, however many there are."""
        found = {}
        for first in range(0, len(blobs), AT_ONCE):
            wanted = "".join(f"{blob}\n" for blob in blobs[first : first + AT_ONCE])
            rest = self._git("cat-file", "--batch", folder=self.clone, sent=wanted.encode())
            while rest:  # NAME blob SIZE, and the bytes (git-cat-file(1))
                about, _unused, rest = rest.partition(b"\n")
                name, _kind, size = about.split()
                found[name.decode()] = rest[: int(size)].decode("utf-8", "replace")
                rest = rest[int(size) + 1 :]
        return found

    def _entry(self, path: str, blob: str, size: int, text: str) -> Entry:
        """A pointer (https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md) stands for its object. text: of a small blob."""
        if not text.startswith(_POINTER):
            return Entry(path, size, "", blob)
        found = dict(line.partition(" ")[::2] for line in text.splitlines())
        kind, _unused, oid = found.get("oid", "").partition(":")
        if kind != "sha256" or not oid or not _DIGITS.fullmatch(found.get("size", "")):
            raise Refused(f"{path!r} is no pointer of git-lfs, though it begins as one")
        return Entry(path, int(found["size"]), oid, "")

    def _fetch_objects(self, entries: Sequence[Entry]) -> None:
        """Bring objects to git-lfs' store, each bounded by about its size: those of one call are less than twice as large as each
        other, and the largest is the limit.

        git-lfs is given a commit of ours with a pointer for each, not their paths: it takes paths as patterns between commas, on
        a command line that has an end (git-lfs-fetch(1), execve(2)).
        """
        of_like_size: dict[int, dict[str, int]] = {}
        for one in entries:
            of_like_size.setdefault(one.size.bit_length(), {})[one.sha256] = one.size
        for sizes in of_like_size.values():
            words = ("lfs", "fetch", "--include=", "--exclude=", "origin", self._commit_of(sizes))
            self._git(*words, folder=self.clone, most=max(1, *sizes.values()))

    def _commit_of(self, sizes: Mapping[str, int]) -> str:
        """A commit of pointers. sizes: by oid. One process, however many they are (git-fast-import(1))."""
        lines = [f"commit {_REF}\ncommitter fullrank <fullrank@localhost> 0 +0000\ndata 0\n"]
        for oid, size in sizes.items():
            pointer = f"{_POINTER}oid sha256:{oid}\nsize {size}\n"
            lines.append(f"M 100644 inline {oid}\ndata {len(pointer)}\n{pointer}\n")
        self._git("fast-import", "--quiet", "--force", folder=self.clone, sent="".join(lines).encode())
        return self._git("rev-parse", _REF, folder=self.clone).decode().strip()

    def fetch(self, entries: Sequence[Entry], folder: Path, finished: Finished) -> None:
        self._fetch_objects([one for one in entries if one.sha256])
        uses = Counter(one.sha256 for one in entries)
        for one in entries:
            part = folder / one.path
            part.parent.mkdir(parents=True, exist_ok=True)
            if one.sha256:
                stored = self.clone / "lfs/objects" / one.sha256[:2] / one.sha256[2:4] / one.sha256
                uses[one.sha256] -= 1
                if uses[one.sha256]:
                    shutil.copyfile(stored, part)
                else:
                    stored.replace(part)
            else:
                with part.open("wb") as file:
                    self._git("cat-file", "blob", one.git_id, folder=self.clone, into=file)
            finished(one, part)
