# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A route as the module `routes` returns it, and the keys of its clients."""

from __future__ import annotations

import hashlib
from typing import Any

SERVER = {"name": "n1", "url": "http://192.0.2.1:8000", "ready": "http://192.0.2.1:29600/ready"}
ROUTE: dict[str, Any] = {
    "name": "tiny",
    "host": "0.0.0.0",
    "port": 8080,
    "url": "http://192.0.2.9:8080",
    "model": "tiny",
    "tls": False,
    "tls_own": True,
    "tls_certificate": "/etc/fullrank/router/tiny.crt",
    "tls_key": "/etc/fullrank/router/tiny.key",
    "tls_names": [],
    "timeout": 3600,
    "max_body_mib": 256,
    "buffer_kib": 128,
    "max_connections": 4096,
    "address_connections": 1024,
    "address_rate": 6000,
    "queue": 128,
    "queue_timeout": 120,
    "resend": True,
    "key_required": False,
    "origins": [],
    "teams": [],
    "post": ["/v1/completions"],
    "get": ["/v1/models"],
    "metrics_host": "127.0.0.1",
    "metrics_port": 28080,
    "metrics_from": [],
    "servers": [SERVER],
    "balancer": {},
}
WITH_KEYS = {**ROUTE, "key": True, "engine_key": True}
"""As the module completes it."""

SMG = {"port": 18080, "runtime": "sglang", "argv": ["/opt/smg/bin/smg", "launch"]}


def key(name: str, key: str | None = None, deployment: str = "tiny") -> dict[str, str]:
    """As the lookup `router_keys` returns it; ``key`` of the engine's alone."""
    sha256 = hashlib.sha256((key or name).encode()).hexdigest()
    return {"deployment": deployment, "name": name, "sha256": sha256, **({"key": key} if key else {})}
