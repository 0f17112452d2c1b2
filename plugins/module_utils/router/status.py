# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state of a node's routers, as HAProxy tells it on its socket. Private to this collection."""

from __future__ import annotations

import csv
import errno
import os
import re
import socket
import subprocess
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common import http_client
from ansible_collections.fullrank.serving.plugins.module_utils.router import files

ASK_S = 3.0
"""How long a supervisor, or HAProxy, may take to answer. Both answer from memory."""


def version() -> tuple[int, ...]:
    """Of HAProxy on this node, ``(2, 6, 12)``; empty where there is none or it does not show it."""
    try:
        reported = subprocess.run([files.HAPROXY, "-v"], capture_output=True, text=True, check=False, timeout=10).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ()
    found = re.search(r"version (\d+(?:\.\d+)*)", reported)
    return tuple(int(part) for part in found[1].split(".")) if found else ()


def command(name: str, words: str) -> str:
    """The answer of a route's running HAProxy to a command; empty where none runs."""
    try:
        with socket.socket(socket.AF_UNIX) as one:
            one.settimeout(ASK_S)
            one.connect(f"{files.run_folder(name)}/stats.sock")
            one.sendall(f"{words}\n".encode())
            found = b""
            while part := one.recv(65536):
                found += part
    except OSError:
        return ""
    return found.decode(errors="replace")


def read(name: str) -> dict[str, Any]:
    """``config`` (the digest of its configuration) and ``servers`` (name → whether it gets requests). Empty where none runs."""
    info = dict(line.partition(": ")[::2] for line in command(name, "show info").splitlines())
    if not info:
        return {}
    rows = csv.DictReader(command(name, "show stat").lstrip("# ").splitlines())
    servers = {
        row["svname"]: row["status"].startswith("UP") for row in rows if row["pxname"] == f"check_{row['svname']}"
    }
    return {"config": info.get("description", ""), "servers": servers}


def summary(ready: str) -> str:
    """What the supervisor behind a URL reports of its group."""
    answer = http_client.request(ready, timeout=ASK_S)
    known = http_client.json_object(answer.body).get("summary")
    if not known and answer.error == os.strerror(errno.ECONNREFUSED):
        return "no supervisor listens: it is stopped, or not installed"
    return str(known or f"its supervisor is not heard: {answer.error or f'HTTP {answer.status}'}")


def state(routes: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Name of each route → ``url`` (without ``/v1``), ``runs``, ``ready`` and ``servers`` (name → ``ready``, ``summary``)."""
    found = {}
    for route in routes:
        report = read(route["name"])
        known = report.get("servers", {})
        servers = {
            one["name"]: {
                "ready": known[one["name"]],
                "summary": "ready" if known[one["name"]] else summary(one["ready"]),
            }
            for one in route["servers"]
            if one["name"] in known
        }
        found[route["name"]] = {
            "url": route["url"],
            "runs": bool(report),
            "ready": any(known.values()),
            "servers": servers,
        }
    return found


def line(name: str, router: Mapping[str, Any]) -> str:
    """Where a deployment is found, and how its replicas are."""
    replicas = router["servers"].items()
    servers = ", ".join(f"{server}{'' if one['ready'] else ':'} {one['summary']}" for server, one in replicas)
    if router["runs"] and not router["ready"]:
        return f"{name} has no replica that is ready; clients of {router['url']}/v1 wait, and get 503 ({servers})"
    return f"{name} is found at {router['url']}/v1 ({servers if router['runs'] else 'its router does not run'})"
