# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the deployments of an inventory answer, as clients reach them. Pure; private to this collection."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory import Deployment

# the defaults of the role engine, which are no variables of the inventory; a test compares them
HOST, PORT = "0.0.0.0", 8000


def endpoints(deployments: Iterable[Deployment], variables: Mapping[str, Mapping[str, Any]]) -> list[dict[str, str]]:
    """One entry for each deployment with hosts: its ``name``, ``url`` (with ``/v1``) and ``key`` (empty where none is wanted).

    variables: host → its variables. The head, the first host, serves; on all its addresses it is reached as Ansible reaches it.
    """
    found = []
    for one in deployments:
        if not one.hosts:
            continue
        head = one.hosts[0]
        given = variables[head]
        host = str(given.get("engine_host", HOST))
        address = given.get("ansible_host", head) if host == HOST else host
        url = f"http://{address}:{given.get('engine_port', PORT)}/v1"
        found.append({"name": one.name, "url": url, "key": str(given.get("engine_api_key", ""))})
    return found
