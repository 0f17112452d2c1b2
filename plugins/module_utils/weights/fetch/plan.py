# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a fetch is asked to do, and how it is started on a node. Pure; private to this collection."""

from __future__ import annotations

import fnmatch
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ansible_collections.fullrank.serving.plugins.module_utils.common import human

RUN = "/run/fullrank"
"""Where the program, its request and its progress lie while a fetch runs; gone with a reboot, as the unit is."""
REQUEST = ".fullrank/request.json"
"""What was asked for, kept beside the manifest: a run that asks for the same needs nothing from the hub."""
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
"""What the clients take from the environment: the way out, and whom to trust. Proxies also in capitals."""
ASKED = ("hub", "repo", "revision", "include", "exclude")
_COMMIT = re.compile(r"[0-9a-f]{40}")


class Entry(NamedTuple):
    """A file as a source lists it. ``sha256`` or ``git_sha1`` (of the blob, as git names it) is empty where it is not told."""

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


def asked(request: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a request that decides which bytes result."""
    return {name: request[name] for name in ASKED}


def environment(given: Mapping[str, str]) -> dict[str, str]:
    """The part of the environment that the fetch gets: a transient unit begins with none."""
    names = {*ENVIRONMENT, *(name.upper() for name in ENVIRONMENT)}
    return {name: value for name, value in given.items() if name in names}


def lacking_space(path: str, needed: int, free: int) -> str:
    """Why the file system of ``path`` is too small for ``needed`` bytes more; empty when it is not."""
    if needed <= 0 or needed + SPARE_BYTES <= free:
        return ""
    return f"the file system of {path} has {human.binary(free)} free, and {human.binary(needed)} are still to come"


def key(path: str) -> str:
    """Names the fetch into the folder ``path``: its last part for people, a hash against others of that name."""
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


def start_command(path: str, python: str, module: str) -> list[str]:
    """The fetch as a transient unit, which goes on when the controller or the connection is gone (systemd-run(1)).

    Only the name of the request's folder is on the command line. HOME is that folder, so that a client that wants to keep
    a login keeps it there. The model's files are made readable for the user that the engine runs as.
    """
    folder = run_folder(path)
    environment = {
        "HOME": folder,
        "PYTHONPATH": f"{folder}/lib",
        "PYTHONDONTWRITEBYTECODE": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "GIT_TERMINAL_PROMPT": "0",
    }
    return [
        "systemd-run",
        f"--unit={unit_name(path)}",
        f"--description=fullrank: weights into {path}",
        "--collect",
        "--quiet",
        "--service-type=exec",
        "--property=UMask=0022",
        "--property=Nice=5",
        *(f"--setenv={name}={value}" for name, value in environment.items()),
        "--",
        python,
        "-m",
        module,
        folder,
    ]
