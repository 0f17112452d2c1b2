# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask an endpoint for the smallest answer of its model, the only health that counts (`tasks`). Private to this collection."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common import http_client
from ansible_collections.fullrank.serving.plugins.module_utils.endpoint import tasks

TASK_OPTIONS: dict[str, dict[str, Any]] = {
    "task": {"type": "str", "choices": list(tasks.ASKED), "default": tasks.GENERATE},
    "engine": {"type": "str", "default": ""},
}
"""What for, and which engine, where the path depends on it."""
OPTIONS: dict[str, dict[str, Any]] = {
    "url": {"type": "str"},
    "model": {"type": "str"},
    "api_key": {"type": "str", "no_log": True},
    "certificate": {"type": "path", "default": ""},
    **TASK_OPTIONS,
}
"""Of modules that ask (the documentation fragment ``endpoint``), beside ``timeout``, whose default is each module's own."""
REQUIRED_BY = {"url": ["model"]}


def of_options(params: Mapping[str, Any]) -> dict[str, Any]:
    """The answer to a module with `OPTIONS` and ``timeout``, where it has a ``url``."""
    return ask(
        params["url"],
        params["model"],
        params["api_key"],
        params["timeout"],
        http_client.Trust(certificate=params["certificate"]),
        task=params["task"],
        engine=params["engine"],
    )


def ask(
    url: str,
    model: str,
    api_key: str | None,
    timeout: float,
    trust: http_client.Trust = http_client.MACHINE,
    *,
    task: str = tasks.GENERATE,
    engine: str = "",
) -> dict[str, Any]:
    """Send the smallest request for ``task``; ``timeout`` in seconds, for the whole answer. trust: for ``https``.

    Never raises for what an endpoint may do: ``{"ready": bool, "status": HTTP status or 0, "error": text, "seconds": float}``.
    """
    question = tasks.smallest(task, engine)
    content, kind = question.content(model)
    started = time.monotonic()
    answer = http_client.request(
        f"{url}{question.path}",
        headers={**http_client.bearer(api_key), "Content-Type": kind},
        content=content,
        timeout=timeout,
        trust=trust,
    )
    seconds = round(time.monotonic() - started, 3)
    error = answer.error
    if answer.status and answer.status != 200:
        error = f"HTTP {answer.status}: {answer.text[:300].strip()}"
    elif not error:
        error = wrong(question, answer.body)
    return {"ready": answer.status == 200 and not error, "status": answer.status, "error": error, "seconds": seconds}


def wrong(question: tasks.Question, body: str | bytes) -> str:
    """Why the body of an answer is no right one; empty when it is."""
    try:
        return question.wrong(http_client.parsed(body))
    except (ValueError, AttributeError, LookupError, TypeError) as other:  # no JSON, JSON of another shape
        return str(other) or "an answer of another shape"
