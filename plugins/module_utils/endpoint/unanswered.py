# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why an endpoint does not answer, as its supervisor or its router knows it. Private to this collection."""

from __future__ import annotations

import errno
import os
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import Finding, failed
from ansible_collections.fullrank.serving.plugins.module_utils.endpoint.open_paths import Ask

CODE = "endpoint-answers"
_REFUSED = os.strerror(errno.ECONNREFUSED)
_NOT_READY = "playbooks/status.yml reports what it waits for; playbooks/restart.yml starts what was stopped"
_NOT_STARTED = "playbooks/restart.yml starts what was stopped, site.yml what is not there"
_UNREACHED = (
    "ask playbooks/status.yml whether it runs; if it does, a firewall stands between it and who asks: "
    "engine_ask_from: node asks from the node itself"
)
_UNKNOWN_CERTIFICATE = (
    "name the file of the authority that signed its certificate in engine_ca_file, on the host that asks; one that is signed by "
    "itself is its own authority, and must be made for the name or address in the URL"
)


def no_replica(name: str, url: str, ask: Ask) -> Finding | None:
    """A router without a ready replica lets its clients wait; the check need not. None: it has one, or is no router of ours."""
    state = ask(f"{url}/fullrank/ready", None, None)
    if state.status != 503 or state.json.get("ready") is not False:
        return None
    heads = ", ".join(map(str, state.json.get("servers") or {}))
    return failed(CODE, name, f"{url}: no replica is ready ({heads})", _NOT_READY)


def why(name: str, what: str, ready: str, ask: Ask) -> Finding:
    """what: address and error of the request that had no answer. ready: the URL of its group's supervisor, empty for none."""
    if "CERTIFICATE_VERIFY_FAILED" in what:
        return failed(CODE, name, what, _UNKNOWN_CERTIFICATE)
    group: Any = ask(ready, None, None) if ready else None
    if not group:
        return failed(CODE, name, what, _UNREACHED)
    if (summary := group.json.get("summary")) and not group.json.get("ready"):
        return failed(CODE, name, f"it is not ready: {summary}", _NOT_READY)
    if _REFUSED in what and _REFUSED in group.error:
        message = f"it is stopped, or not installed: neither its engine nor its supervisor listens ({what})"
        return failed(CODE, name, message, _NOT_STARTED)
    return failed(CODE, name, what, _UNREACHED)
