# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which interface and address reach the other ranks. Pure, over what ``ip -json`` prints. Private to this collection."""

from __future__ import annotations

import ipaddress
import json
from typing import Any


def route(text: str) -> dict[str, str]:
    """``ip -json route get PEER`` as ``{"interface": ..., "address": ...}``; empty when there is no route.

    Source of the rule: NCCL, gloo and the engines' own stores connect by the kernel's routing, so the device of this
    route is the one whose name and address they must be given.
    """
    rows: list[dict[str, Any]] = json.loads(text) if text.strip() else []
    if not rows or "dev" not in rows[0]:
        return {}
    return {"interface": rows[0]["dev"], "address": rows[0].get("prefsrc", "")}


def within(text: str, network: str) -> list[dict[str, str]]:
    """The addresses of ``ip -json address`` inside ``network`` (CIDR), each with its interface.

    Raises ValueError when ``network`` is no CIDR network.
    """
    wanted = ipaddress.ip_network(network)
    found = []
    for link in json.loads(text or "[]"):
        for info in link.get("addr_info", []):
            address = ipaddress.ip_address(info["local"])
            if address.version == wanted.version and address in wanted:
                found.append({"interface": link["ifname"], "address": str(address)})
    return found
