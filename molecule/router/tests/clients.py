# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients of a router: what they ask, what they get, and what they lose while something breaks."""

from __future__ import annotations

import functools
import json
import ssl
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections import Counter
from dataclasses import dataclass
from typing import Any

from helpers import NET
from helpers import until as helpers_until

ROUTER = f"{NET}.13"
KEY = "planted-key-4711"
TEAM_KEY = "planted-key-of-team-a"
PAIR, CACHED, WIDE = f"http://{ROUTER}:8080", f"http://{ROUTER}:8081", f"https://{ROUTER}:8082"
until = functools.partial(helpers_until, every=0.1)
_context = ssl.create_default_context()
_context.check_hostname, _context.verify_mode = False, ssl.CERT_NONE  # that of the router is signed by itself
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=_context))


def call(url: str, body: Any = None, key: str | None = KEY, timeout: float = 150) -> tuple[int, Any]:
    """Status and answer, JSON where it is; status 0 when there is none."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    request = urllib.request.Request(url, json.dumps(body).encode() if body else None, headers)
    try:
        with _opener.open(request, timeout=timeout) as answer:
            status, text = answer.status, answer.read()
    except urllib.error.HTTPError as refused:
        status, text = refused.code, refused.read()
    except OSError as error:
        return 0, str(error)
    try:
        return status, json.loads(text)
    except ValueError:
        return status, text.decode(errors="replace")


def ask(endpoint: str, prompt: str = "ping", model: str = "tiny", **more: Any) -> tuple[int, Any]:
    """A completion."""
    return call(f"{endpoint}/v1/completions", {"model": model, "prompt": prompt, "max_tokens": 4}, **more)


def stream(endpoint: str) -> Any:
    """A streamed completion, open."""
    body = {"model": "tiny", "prompt": "tell", "stream": True}
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"}
    request = urllib.request.Request(f"{endpoint}/v1/completions", json.dumps(body).encode(), headers)
    return _opener.open(request, timeout=60)


def ready(endpoint: str) -> dict[str, Any]:
    """What the router reports of its replicas."""
    report: dict[str, Any] = call(f"{endpoint}/fullrank/ready", key=None)[1]
    return report


def supervisor(node: int, port: int) -> dict[str, Any]:
    """What the supervisor of a head reports."""
    report: dict[str, Any] = call(f"http://{NET}.{10 + node}:{port}/ready", key=None)[1]
    return report


@dataclass(frozen=True)
class Request:
    began: float
    ended: float
    status: int
    by: str
    """The node that answered."""


class Load:
    """Clients that ask one after the other; a context."""

    def __init__(self, endpoint: str, clients: int = 2) -> None:
        self.endpoint, self.requests = endpoint, list[Request]()
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self._ask) for _ in range(clients)]

    def _ask(self) -> None:
        while not self.over.is_set():
            began = time.monotonic()
            # prompts of their own: smg sends those with the same beginning to the same replica
            status, answer = ask(self.endpoint, uuid.uuid4().hex)
            by = answer.get("system_fingerprint", "") if isinstance(answer, dict) else ""
            self.requests.append(Request(began, time.monotonic(), status, by))
            time.sleep(0.05)

    def __enter__(self) -> Load:
        for one in self.threads:
            one.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        for one in self.threads:
            one.join()

    @property
    def lost(self) -> list[Request]:
        return [one for one in self.requests if one.status != 200]

    def since(self, moment: float) -> list[Request]:
        """Requests that began after a moment."""
        return [one for one in list(self.requests) if one.began > moment]

    def answered(self, by: str, after: float) -> bool:
        """Whether a node has answered a request that began after a moment."""
        return any(one.by == by and one.status == 200 for one in self.since(after))

    def __str__(self) -> str:
        counts = Counter((one.by or "no replica", one.status) for one in self.requests)
        return ", ".join(f"{by} {status}: {count}" for (by, status), count in sorted(counts.items()))
