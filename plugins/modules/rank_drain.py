#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The head of a replica answers what it has, and gets nothing new."""

from __future__ import annotations

DOCUMENTATION = r"""
module: rank_drain
version_added: 0.1.0
short_description: Let a replica answer the requests that it has, before it is stopped
description:
  - The supervisor of a replica's head reports that it is not ready, so that routers send requests elsewhere, until the replica
    is started again by M(fullrank.serving.rank). The engine goes on.
  - Returns when the engine's own metrics show no request, or after O(timeout). An engine whose metrics lack them is given
    the whole time.
options:
  deployment:
    description: Name of the deployment.
    type: str
    required: true
  timeout:
    description: Seconds that requests are given to end.
    type: float
    default: 60
attributes:
  check_mode:
    description: Reports that it would be drained, and waits for nothing.
    support: full
  diff_mode:
    description: Nothing that has a text changes.
    support: none
author:
  - The fullrank authors (@fullrank)
"""

EXAMPLES = r"""
- name: Let it answer what it has
  fullrank.serving.rank_drain:
    deployment: qwen
"""

RETURN = r"""
requests:
  description: How many requests were left in the end; none where the metrics do not tell.
  returned: it was ready
  type: float
waited:
  description: Seconds.
  returned: it was ready
  type: float
"""

import json
import time
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fullrank.serving.plugins.module_utils.endpoint import metrics
from ansible_collections.fullrank.serving.plugins.module_utils.supervisor import check, decisions
from ansible_collections.fullrank.serving.plugins.module_utils.systemd import names

NOTICED_S = 3.0
"""Routers ask the supervisor every second."""

READ_AGAIN_S = 15.0
"""A supervisor that has just read its configuration again asks its engine for a completion before it reports ready."""

ASK_S = 5.0


def serves(name: str) -> bool:
    """Whether the deployment is ready. Where its engine runs, a supervisor that has just found it again is waited for."""
    deadline = time.monotonic() + READ_AGAIN_S
    while True:
        status = check.status(name) or {}
        if status.get("ready") or status.get("engine") != decisions.RUNNING or time.monotonic() > deadline:
            return bool(status.get("ready"))
        time.sleep(0.5)


def left(config: dict[str, Any], key: str) -> float | None:
    """Requests that the engine has: those that it works on and those that wait. None: its metrics do not have them."""
    found = metrics.ask(config["url"], key, ASK_S)
    if found["error"]:
        return None
    known = [found[name] for name in ("running", "waiting") if found[name] is not None]
    return sum(known) if known else None


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "deployment": {"type": "str", "required": True},
            "timeout": {"type": "float", "default": 60},
        },
        supports_check_mode=True,
    )
    name = module.params["deployment"]
    if not serves(name):
        module.exit_json(changed=False)
    if module.check_mode:
        module.exit_json(changed=True)
    config, secret = (
        json.loads(Path(file(name)).read_text()) for file in (names.supervisor_config, names.supervisor_secret)
    )
    Path(names.drain_mark(name)).touch()
    began = time.monotonic()
    time.sleep(NOTICED_S)
    while (requests := left(config, secret["api_key"])) != 0 and time.monotonic() - began < module.params["timeout"]:
        time.sleep(1)
    module.exit_json(changed=True, requests=requests, waited=round(time.monotonic() - began, 1))


if __name__ == "__main__":
    main()
