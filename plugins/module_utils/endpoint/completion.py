# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask an OpenAI-compatible endpoint for one token. Private to this collection.

The only health that counts: ``/health`` answers 200 while ranks are dead and requests hang (seen with vLLM 0.32 and SGLang
0.5), and ranks other than the head answer it from a dummy server (SGLang). A completion needs every rank of the group.
"""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from typing import Any

# straight to the engine: a proxy that the node's environment names is for the outside
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def ask(url: str, model: str, api_key: str | None, timeout: float) -> dict[str, Any]:
    """POST ``url``/v1/completions for one token of ``model``; ``timeout`` in seconds.

    Never raises for what an endpoint may do: ``{"ready": bool, "status": HTTP status or 0, "error": text, "seconds": float}``.
    """
    body = json.dumps({"model": model, "prompt": "ping", "max_tokens": 1, "temperature": 0}).encode()
    headers = {"Content-Type": "application/json"}
    if api_key:
        headers["Authorization"] = f"Bearer {api_key}"
    request = urllib.request.Request(f"{url}/v1/completions", body, headers)
    started = time.monotonic()
    status, error = 0, ""
    try:
        with _opener.open(request, timeout=timeout) as answer:
            status = answer.status
            choices = json.load(answer).get("choices")
        if not choices:
            error = "an answer without choices"
    except urllib.error.HTTPError as refused:
        status = refused.code
        error = f"HTTP {status}: {refused.read(300).decode(errors='replace').strip()}"
    except (OSError, ValueError, AttributeError) as broken:  # no connection, time-out, no JSON, JSON of another shape
        error = str(getattr(broken, "reason", broken)) or type(broken).__name__
    seconds = round(time.monotonic() - started, 3)
    return {"ready": status == 200 and not error, "status": status, "error": error, "seconds": seconds}
