# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Request one token from an OpenAI-compatible endpoint. Private to this collection.

The only health that counts: ``/health`` answers 200 while ranks are dead and requests hang (seen with vLLM 0.32 and SGLang
0.5), and ranks other than the head answer it from a dummy server (SGLang). A completion needs every rank of the group.
"""

from __future__ import annotations

import time
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common import http_client


def ask(
    url: str, model: str, api_key: str | None, timeout: float, trust: http_client.Trust = http_client.MACHINE
) -> dict[str, Any]:
    """POST ``url``/v1/completions for one token of ``model``; ``timeout`` in seconds, for the whole answer. trust: for ``https``.

    Never raises for what an endpoint may do: ``{"ready": bool, "status": HTTP status or 0, "error": text, "seconds": float}``.
    """
    body = {"model": model, "prompt": "ping", "max_tokens": 1, "temperature": 0}
    started = time.monotonic()
    answer = http_client.request(
        f"{url}/v1/completions", headers=http_client.bearer(api_key), body=body, timeout=timeout, trust=trust
    )
    seconds = round(time.monotonic() - started, 3)
    error = answer.error
    if answer.status and answer.status != 200:
        error = f"HTTP {answer.status}: {answer.text[:300].strip()}"
    elif not error:
        try:
            error = "" if answer.json().get("choices") else "an answer without choices"
        except (ValueError, AttributeError) as other:  # no JSON, JSON of another shape
            error = str(other)
    return {"ready": answer.status == 200 and not error, "status": answer.status, "error": error, "seconds": seconds}
