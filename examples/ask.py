#!/usr/bin/env python3
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask a deployment a question and print the answer as it comes: ``ask.py http://HEAD:8000/v1 MODEL "question"``.

Standard library only; the key, where one is needed, is read from the environment variable OPENAI_API_KEY. For https with a
certificate of an authority of your own: ``SSL_CERT_FILE=authority.pem ask.py https://...`` (OpenSSL reads that variable).
"""

from __future__ import annotations

import json
import os
import sys
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
                for choice in json.loads(data)["choices"]:
                    print(choice["delta"].get("content") or "", end="", flush=True)
    print()


if __name__ == "__main__":
    ask(*sys.argv[1:4])
