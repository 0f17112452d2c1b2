# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asking Open WebUI itself. Private to this collection."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.systemd.service import Hopeless

# straight to the service: a proxy that the node's environment names is for the outside
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def ask(url: str, body: dict[str, Any] | None = None, timeout: float = 20) -> tuple[int, Any]:
    """HTTP status and what was answered; 0 and the reason when nothing was."""
    content = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(url, content, {"Content-Type": "application/json"})
    try:
        with _opener.open(request, timeout=timeout) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read(300).decode(errors="replace")
    except (OSError, ValueError) as broken:
        return 0, str(getattr(broken, "reason", broken)) or type(broken).__name__


def unhealthy(url: str) -> str:
    """Why the service is not healthy; the last thing is that it has an administrator, for else the first visitor becomes it."""
    status, answer = ask(f"{url}/health")
    if status != 200:
        return f"/health answers {status or answer}"
    status, answer = ask(f"{url}/api/config")
    if status != 200:
        return f"/api/config answers {status or answer}"
    if answer.get("onboarding"):  # the administrator is made before it listens, or not at all
        raise Hopeless("it has no administrator: the next visitor would become it")
    return ""


def log_in(url: str, email: str, password: str) -> int:
    """HTTP status of a login; 200 when it succeeded, 0 when nothing was answered."""
    return ask(f"{url}/api/v1/auths/signin", {"email": email, "password": password})[0]
