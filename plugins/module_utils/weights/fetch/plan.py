# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The request of a fetch, and the unit that serves it on a node. Pure; private to this collection."""

from __future__ import annotations

import fnmatch
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ansible_collections.fullrank.serving.plugins.module_utils.common import human
from ansible_collections.fullrank.serving.plugins.module_utils.systemd import hardening, transient
from ansible_collections.fullrank.serving.plugins.module_utils.weights.manifest import BOOKKEEPING, is_weight_path
from ansible_collections.fullrank.serving.plugins.module_utils.weights.worker_user import Worker

RUN = "/run/fullrank"
"""Where the program, its request and its progress lie while a fetch runs; gone with a reboot, as the unit is."""
REQUEST = ".fullrank/request.json"
"""The request, kept beside the manifest: a run with the same request needs nothing from the hub."""
ARRIVED = ".fullrank/partial/controller"
"""Where files that the controller sends wait to be verified."""
SPARE_BYTES = 64 << 20
"""What is left free on the file system of the weights."""
ENVIRONMENT = (
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
)
"""What the clients take from the environment: proxies and trusted certificates. Proxies also in capitals."""
MEMORY_BYTES = 8 << 30
"""What a fetch may take (docs/decisions/166)."""
LONGEST_WORD = 100
"""Characters of a folder's name in a unit's: unit names have at most 255 (systemd.unit(5))."""
DECIDING = ("hub", "repo", "revision", "include", "exclude")
LONGEST_NAME = 255
"""Bytes of a file's name, NAME_MAX of Linux' file systems."""
_SHA1 = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class Entry(NamedTuple):
    """A file as a source lists it. ``sha256`` or ``git_id`` is empty where none is listed.

    git_id: of the blob, as git names it, by SHA-1 or SHA-256.
    """

    path: str
    size: int
    sha256: str
    git_id: str


def is_commit(revision: str, *, of_git: bool = False) -> bool:
    """Whether a revision names one commit for ever, and not a branch or tag, which move.

    of_git: of any repository, which may name its objects by SHA-256 (git-init(1), --object-format); hubs have SHA-1.
    """
    return bool(_SHA1.fullmatch(revision) or (of_git and _SHA256.fullmatch(revision)))


def chosen(path: str, include: Sequence[str], exclude: Sequence[str]) -> bool:
    """Shell patterns over the whole path, in which ``*`` also spans ``/``; no ``include`` means all."""
    wanted = not include or any(fnmatch.fnmatchcase(path, one) for one in include)
    return wanted and not any(fnmatch.fnmatchcase(path, one) for one in exclude)


def refused(listed: Sequence[Entry]) -> list[str]:
    """Why a listing must not be followed, one reason for each file that is wrong; empty when it may.

    A listing comes from somebody else's server. Whatever is in it, a file lands below the model's folder under its own path, and
    a checksum is nothing but a checksum: git-lfs names the files of its store by it. Tools' bookkeeping is no fault (`usable`).
    """
    reasons = [f"{one.path!r}: {why}" for one in listed if (why := _wrong(one))]
    seen = Counter(one.path for one in listed)
    reasons += [f"{path!r}: it is listed {count} times" for path, count in sorted(seen.items()) if count > 1]
    folders = {path[:at] for path in seen for at, char in enumerate(path) if char == "/"}
    return reasons + [f"{path!r}: it is listed as a file and as a folder" for path in sorted(folders & set(seen))]


def _wrong(one: Entry) -> str:
    parts = one.path.split("/")
    if not is_weight_path(one.path) and (parts[0] not in BOOKKEEPING or ".." in parts):
        return "the path leads out of the folder"
    if not one.path.isprintable():  # surrogates, for bytes that are not UTF-8, are not printable either
        return "the path has characters that cannot be shown"
    if any(len(part.encode()) > LONGEST_NAME for part in parts):
        return f"a name in the path has more than {LONGEST_NAME} bytes"
    if one.size < 0:
        return f"a size of {one.size} bytes"
    if one.sha256 and not _SHA256.fullmatch(one.sha256):
        return f"{one.sha256!r} is no sha256"
    if one.git_id and not is_commit(one.git_id, of_git=True):
        return f"{one.git_id!r} is no name of an object of git"
    return ""


def usable(listed: Sequence[Entry]) -> list[Entry]:
    """The files of a listing that can belong to a model."""
    return [one for one in listed if is_weight_path(one.path)]


def deciding(request: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a request that decides which bytes result."""
    return {name: request[name] for name in DECIDING}


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """The part of the task's environment that the fetch gets: a transient unit begins with none."""
    names = {*ENVIRONMENT, *(name.upper() for name in ENVIRONMENT)}
    return {name: value for name, value in variables.items() if name in names}


def lacking_space(path: str, needed: int, free: int) -> str:
    """Why the file system of ``path`` is too small for ``needed`` bytes more; empty when it is not."""
    if needed <= 0 or needed + SPARE_BYTES <= free:
        return ""
    return f"the file system of {path} has {human.binary(free)} free, and {human.binary(needed)} are still to come"


def key(path: str) -> str:
    """Names the fetch into the folder ``path``: its last part for people, and a hash, for other folders may end with it."""
    word = re.sub(r"[^A-Za-z0-9_.-]", "-", path.rstrip("/").rpartition("/")[2])[:LONGEST_WORD]
    return f"{word}-{hashlib.sha256(path.encode()).hexdigest()[:8]}"


def partial_name(request: Mapping[str, Any], entries: Iterable[Entry]) -> str:
    """Where the unfinished files of exactly these contents lie: parts of another revision are never continued."""
    listed = sorted(tuple(one) for one in entries)
    text = json.dumps([request["hub"], request["repo"], listed])
    return f"{request['hub']}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def unit_name(path: str) -> str:
    return f"fullrank-fetch-{key(path)}.service"


def run_folder(path: str) -> str:
    return f"{RUN}/fetch-{key(path)}"


def unit(
    path: str, python: str, module: str, seconds: int, *, writes: str, reads: Sequence[str], worker: Worker
) -> transient.Unit:
    """The fetch as a transient unit, which goes on when the controller or the connection is gone.

    It runs a third-party client against the internet: as a user of its own where that can be (`worker_user`), it can write to
    what it brings files to and to its own folder below /run. Only the name of the request's folder is on the command line. HOME
    is that folder, so that a client that wants to keep a login keeps it there. The model's files are made readable for the user
    that the engine runs as.

    path: the model's folder. seconds: after which systemd ends it. writes: what it writes to of the model's folder. reads: what
    it needs outside of the system's folders.
    """
    folder = run_folder(path)
    return transient.Unit(
        name=unit_name(path),
        description=f"fullrank: weights into {path}",
        command=[python, "-m", module, folder],
        environment={
            "HOME": folder,
            "PYTHONPATH": f"{folder}/lib",
            "PYTHONDONTWRITEBYTECODE": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "GIT_TERMINAL_PROMPT": "0",
        },
        sandbox=transient.Sandbox(
            writes=[writes, folder],
            reads=[python, *reads],
            families=hardening.NETWORK,
            **worker.privileges,
        ),
        properties=["Nice=5", "TasksMax=infinity"],
        memory=MEMORY_BYTES,
        seconds=seconds,
    )
