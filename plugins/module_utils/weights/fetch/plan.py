# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The request of a fetch, and the unit that serves it on a node. Pure; private to this collection."""

from __future__ import annotations

import fnmatch
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ansible_collections.fullrank.serving.plugins.module_utils.common import human
from ansible_collections.fullrank.serving.plugins.module_utils.systemd import transient

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
DECIDING = ("hub", "repo", "revision", "include", "exclude")
_COMMIT = re.compile(r"[0-9a-f]{40}")


class Entry(NamedTuple):
    """A file as a source lists it. ``sha256`` or ``git_sha1`` (of the blob, as git names it) is empty where none is listed."""

    path: str
    size: int
    sha256: str
    git_sha1: str


def is_commit(revision: str) -> bool:
    """Whether a revision names one commit for ever, and not a branch or tag, which move."""
    return bool(_COMMIT.fullmatch(revision))


def chosen(path: str, include: Sequence[str], exclude: Sequence[str]) -> bool:
    """Shell patterns over the whole path, in which ``*`` also spans ``/``; no ``include`` means all."""
    wanted = not include or any(fnmatch.fnmatchcase(path, one) for one in include)
    return wanted and not any(fnmatch.fnmatchcase(path, one) for one in exclude)


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
    word = re.sub(r"[^A-Za-z0-9_.-]", "-", path.rstrip("/").rpartition("/")[2])
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


def unit(path: str, python: str, module: str, reads: Sequence[str], seconds: int) -> transient.Unit:
    """The fetch as a transient unit, which goes on when the controller or the connection is gone.

    It runs a third-party client against the internet, as root, for the model's folder may belong to anybody: it can write to that
    folder and to its own below /run, and has no other privilege of root. Only the name of the request's folder is on the command
    line. HOME is that folder, so that a client that wants to keep a login keeps it there. The model's files are made readable for
    the user that the engine runs as.

    reads: what it needs outside of the system's folders. seconds: after which systemd ends it.
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
            writes=[path, folder],
            reads=[python, *reads],
            capabilities=transient.FILES_OF_OTHERS,
            families=transient.INTERNET,
        ),
        properties=["Nice=5", "TasksMax=infinity"],
        seconds=seconds,
    )
