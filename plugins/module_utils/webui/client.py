# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests to Open WebUI itself. Private to this collection."""

from __future__ import annotations

from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common import http_client
from ansible_collections.fullrank.serving.plugins.module_utils.systemd.service import Hopeless


def ask(url: str, body: dict[str, Any] | None = None, timeout: float = 20) -> tuple[int, Any]:
    """HTTP status with the JSON of the answer, or with its first 300 characters where it refuses; 0 and the reason without one.

    timeout: seconds, for the whole answer.
    """
    answer = http_client.request(url, body=body, timeout=timeout)
    if answer.status >= 300:
        return answer.status, answer.text[:300]
    if answer.error:
        return 0, answer.error
    try:
        return answer.status, answer.json()
    except ValueError as other:
        return 0, str(other)


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
