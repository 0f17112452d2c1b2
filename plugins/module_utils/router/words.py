# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Words of HAProxy's configuration, and the names that counts have. Pure; private to this collection."""

from __future__ import annotations

import json
import re

ENGINE = "engine"
"""Name of the engine's own key among those of clients, in counts."""

OPEN, NONE = "open", "none"
"""The names that counts have where no key is asked for, and of requests without a right key."""


def error(message: str, kind: str, code: int | None) -> str:
    """An error in the shape that OpenAI's clients read. code: None where it is known only when the answer is sent."""
    return json.dumps({"error": {"message": message, "type": kind, "param": None, "code": code}})


def quoted(text: str) -> str:
    """A word of the configuration that HAProxy takes as it is."""
    return "'" + text.replace("'", "'\\''") + "'"


def answer(status: int, message: str, kind: str, *headers: str) -> str:
    extra = "".join(f" hdr {header}" for header in headers)
    return f"return status {status} content-type application/json{extra} string {quoted(error(message, kind, status))}"


def place(url: str) -> tuple[str, int, str]:
    """Host, port and path of a URL.

    >>> place("https://[fd00::1]/ready")
    ('fd00::1', 443, '/ready')
    """
    scheme, _unused, rest = url.partition("://")
    where, _unused, path = rest.partition("/")
    host, _unused, port = where.rpartition(":") if re.search(r":\d+$", where) else (where, "", "")
    return host.strip("[]"), int(port) if port else {"https": 443}.get(scheme, 80), f"/{path}"
