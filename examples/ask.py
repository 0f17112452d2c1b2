#!/usr/bin/env python3
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask a deployment a question and print the answer as it comes: ``ask.py http://HEAD:8000/v1 MODEL "question"``.

Standard library only; the key, where one is needed, is read from the environment variable OPENAI_API_KEY. For https with a
certificate of an authority of your own: ``SSL_CERT_FILE=authority.pem ask.py https://...`` (OpenSSL reads that variable).
"""

from __future__ import annotations

import http.client
import json
import os
import sys
import urllib.error
import urllib.request


def ask(endpoint: str, model: str, question: str) -> None:
    body = {
        "model": model,
        "messages": [{"role": "user", "content": question}],
        "max_tokens": 60,
        "stream": True,
    }
    headers = {"Content-Type": "application/json"}
    if key := os.environ.get("OPENAI_API_KEY"):
        headers["Authorization"] = f"Bearer {key}"
    request = urllib.request.Request(f"{endpoint}/chat/completions", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=120) as stream:
        for line in stream:
            data = line.removeprefix(b"data: ").strip()
            if data and data != b"[DONE]":
                for choice in json.loads(data).get("choices", []):
                    print(choice["delta"].get("content") or "", end="", flush=True)
    print()


def why(error: Exception) -> str:
    """What went wrong, in a line; what an endpoint answers to a wrong model or key is in the body."""
    if not isinstance(error, urllib.error.HTTPError):
        return str(getattr(error, "reason", error)) or type(error).__name__
    text = error.read(2000).decode(errors="replace")
    try:
        found = json.loads(text)
        text = found["error"]["message"] if "error" in found else found["message"]
    except (ValueError, KeyError, TypeError):
        pass
    return f"HTTP {error.code}: {' '.join(str(text).split())[:200] or error.reason}"


def main(words: list[str]) -> str:
    """The reason of a failure; empty when the question was answered."""
    if len(words) != 3:
        return 'usage: ask.py http://HEAD:8000/v1 MODEL "question"'
    try:
        ask(*words)
    except (OSError, http.client.HTTPException, ValueError) as error:
        return f"{words[0]} does not answer as {words[1]}: {why(error)}"
    return ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]) or 0)
