# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A route as the module `routes` returns it."""

from __future__ import annotations

from typing import Any

ROUTE: dict[str, Any] = {
    "name": "tiny",
    "host": "0.0.0.0",
    "port": 8080,
    "url": "http://192.0.2.9:8080",
    "model": "tiny",
    "timeout": 3600,
    "max_body_mib": 256,
    "servers": [],
    "balancer": {},
}
SMG = {"port": 18080, "runtime": "sglang", "argv": ["/opt/smg/bin/smg", "launch"]}
