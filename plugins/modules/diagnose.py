#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Why a rank does not serve: everything that its node knows, in one go; read only."""

from __future__ import annotations

DOCUMENTATION = r"""
module: diagnose
version_added: 0.1.0
short_description: Gather evidence on why a rank does not serve
description:
  - Gathers the log of a rank since its last start, its unit, container, versions, GPUs, RDMA devices, network, memory, disks and
    the kernel's log of one node, and keeps them on the controller for
    M(fullrank.serving.diagnose_bundle) in the same run.
  - Takes out secrets twice - on the node, and again on the controller, where the values of the inventory are known - what is
    in the vault or has a name like C(api_key), C(HF_TOKEN) or C(password), and what looks like a key, a token or a password in a
    URL.
  - Returns the signatures of failures in the log; M(fullrank.serving.diagnose_bundle) makes one answer of those of all ranks.
options:
  deployment:
    description: Name of the deployment.
    type: str
    required: true
  units:
    description:
      - Units whose journal is gathered, from the start of the one that was started first.
      - When not set, the unit of the rank and, where there is one, that of its supervisor.
    type: list
    elements: str
  log_lines:
    description: At most so many lines of the journal.
    type: int
    default: 5000
  venv:
    description: The engine's environment, whose versions are reported.
    type: path
    default: ""
  timeout:
    description: Seconds within which the endpoint must answer.
    type: float
    default: 20
extends_documentation_fragment:
  - fullrank.serving.attributes
  - fullrank.serving.endpoint
author:
  - The fullrank authors (@fullrank)
"""

EXAMPLES = r"""
- name: Gather
  fullrank.serving.diagnose:
    deployment: deepseek_r1
  register: diagnosis
"""

RETURN = r"""
gathered:
  description: Names of the files that were gathered.
  returned: always
  type: list
  elements: str
rank_state:
  description: As M(fullrank.serving.rank_info) returns it.
  returned: always
  type: dict
answer:
  description: As M(fullrank.serving.rank_info) returns it.
  returned: O(url) is set
  type: dict
sightings:
  description: What the log shows - id of the signature, number of the line, line, time (seconds since the epoch).
  returned: always
  type: list
  elements: dict
last_error:
  description:
    - The line of the log that tells most of a failure; empty for none.
  returned: always
  type: dict
  contains:
    line:
      description: The line.
      type: str
      returned: when there is one
    time:
      description: Its time in seconds, null where it is not known.
      type: float
      returned: when there is one
    number:
      description: Its number, from 0.
      type: int
      returned: when there is one
    weight:
      description: 0 is an error by itself; 4 and more only say that something else has failed.
      type: int
      returned: when there is one
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fullrank.serving.plugins.module_utils.diagnose import redact, snapshot
from ansible_collections.fullrank.serving.plugins.module_utils.endpoint import answer
from ansible_collections.fullrank.serving.plugins.module_utils.node.reader import Host
from ansible_collections.fullrank.serving.plugins.module_utils.systemd import names
from ansible_collections.fullrank.serving.plugins.module_utils.systemd import state as systemd_state

COMMAND_S = 20.0


def secrets_on_node(deployment: str, folder: Path = Path("/etc/fullrank")) -> list[str]:
    """The values of the deployment's files of secrets on this node."""
    files = sorted(folder.glob(f"{deployment}.secret.*"))
    return [value for file in files for value in redact.secrets_of_file(file.read_text(errors="replace"))]


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "deployment": {"type": "str", "required": True},
            "units": {"type": "list", "elements": "str"},
            "log_lines": {"type": "int", "default": 5000},
            "venv": {"type": "path", "default": ""},
            **answer.OPTIONS,
            "timeout": {"type": "float", "default": 20},
        },
        required_by=answer.REQUIRED_BY,
        supports_check_mode=True,
    )
    params = module.params
    unit = systemd_state.rank_unit(params["deployment"])
    wanted = params["units"] or [unit, names.supervisor_unit(params["deployment"])]
    states = [systemd_state.state(module.run_command, name) for name in wanted]
    there = [state for state in states if state["exists"]]
    since = min((state["since"] for state in there if state["since"]), default=0)
    files = snapshot.collect(
        Host(timeout_s=COMMAND_S),
        [state["unit"] for state in there] or wanted[:1],
        since,
        params["log_lines"],
        params["venv"],
    )
    secrets = [*secrets_on_node(params["deployment"]), params["api_key"] or ""]
    result: dict[str, Any] = {
        "rank_state": systemd_state.state(module.run_command, unit),
        "files": {name: redact.redact(content, secrets) for name, content in files.items()},
    }
    if params["url"]:
        result["answer"] = answer.of_options(params)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
