#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How one rank of a deployment is doing; read only."""

from __future__ import annotations

DOCUMENTATION = r"""
module: rank_info
version_added: 0.1.0
short_description: How one rank of a deployment is doing
description:
  - Reports the systemd unit of a rank, the last lines of its journal, and the state of the group as the rank's supervisor
    knows it.
  - Asks the endpoint for the smallest answer of its O(task), when O(url) is given. This is the health of the whole group; a
    C(/health) of the engine is not, it answers while other ranks are dead.
options:
  deployment:
    description: Name of the deployment. RV(installed) and RV(routers) alone are returned when not set.
    type: str
  timeout:
    description: Seconds that the endpoint is given to answer.
    type: float
    default: 10
  metrics:
    description: Ask O(url) how busy the engine is, too; takes a second.
    type: bool
    default: false
  as_written:
    description:
      - Ask what the rank was written to serve - its supervisor's address, model and key - instead of O(url), O(model) and
        O(api_key), where there is such a rank. RV(drift) has what differs.
    type: bool
    default: false
  version:
    description: The engine's version in the inventory, for RV(drift).
    type: str
    default: ""
  names:
    description: The ranks of the replica in the inventory, in rank order, for RV(drift).
    type: list
    elements: str
    default: []
  gpus:
    description: Ask for the memory of the node's GPUs, too.
    type: bool
    default: false
  log_lines:
    description: How many of the last lines of the journal to return.
    type: int
    default: 0
extends_documentation_fragment:
  - fullrank.serving.attributes
  - fullrank.serving.endpoint
author:
  - The fullrank authors (@fullrank)
"""

EXAMPLES = r"""
- name: Look at the head
  fullrank.serving.rank_info:
    deployment: deepseek_r1
    url: http://127.0.0.1:8000
    model: deepseek-r1
  register: head
"""

RETURN = r"""
rank_state:
  description: >-
    The state in systemd - unit, exists, enabled, active, sub, result, exit_status, pid, since (seconds since the epoch),
    invocation_id, and spec_hash of what runs.
  returned: O(deployment) is set, as all but RV(installed) and RV(routers)
  type: dict
supervisor:
  description: The same for the unit of the rank's supervisor.
  returned: always
  type: dict
group:
  description: >-
    The state of the group as this rank's supervisor knows it - phase (waiting, backoff, starting, loading, ready, stalled
    or stopping), ready, summary (for people), epoch, failures (since the supervisor's start), failure (epoch, rank and why of
    the last one) and troubles (what this supervisor cannot write or serve now, and goes on without). Empty where no supervisor
    moves.
  returned: always
  type: dict
answer:
  description: The answer of the endpoint - ready, status (HTTP, 0 for none), error and seconds.
  returned: O(url) is set
  type: dict
engine:
  description: Name and version of the engine whose unit is written, empty where there is none.
  returned: always
  type: str
  sample: vllm 0.32.0
metrics:
  description: >-
    How busy the engine is - running and waiting (requests), kv_usage (0 to 1), tokens_per_s, each null where the engine does not
    tell, and error.
  returned: O(metrics) is set, and O(url)
  type: dict
gpus:
  description: Of each GPU its index, memory_used_mib and memory_total_mib; empty without GPUs.
  returned: O(gpus) is set
  type: list
  elements: dict
drift:
  description: What was written on this node and what the inventory has, a line for each difference.
  returned: O(as_written)
  type: list
  elements: str
  sample: ["serves at http://127.0.0.1:8011; the inventory has http://127.0.0.1:8000"]
installed:
  description: Deployments that have a rank on this node, whatever the inventory has.
  returned: always
  type: list
  elements: str
routers:
  description: Deployments whose router (M(fullrank.serving.router)) has a unit on this node.
  returned: always
  type: list
  elements: str
log:
  description: The last lines of the rank's engine since its supervisor's start.
  returned: always
  type: list
  elements: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fullrank.serving.plugins.module_utils.common.http_client import Trust
from ansible_collections.fullrank.serving.plugins.module_utils.endpoint import answer, metrics
from ansible_collections.fullrank.serving.plugins.module_utils.node.reader import Host
from ansible_collections.fullrank.serving.plugins.module_utils.nvidia import smi
from ansible_collections.fullrank.serving.plugins.module_utils.supervisor import check, written
from ansible_collections.fullrank.serving.plugins.module_utils.systemd import names
from ansible_collections.fullrank.serving.plugins.module_utils.systemd import state as systemd_state


def written_engine(state: dict[str, Any]) -> str:
    """``vllm 0.32.0`` of the unit's description: ``tiny: rank 0 of 2, vllm 0.32.0``."""
    return str(state["description"]).rpartition(", ")[2] if state["exists"] else ""


def gpu_memory(host: Host) -> list[dict[str, Any]]:
    """Memory of each GPU; empty where there is no driver or it does not answer."""
    shown = host.run("nvidia-smi", "-q", "-x")
    if shown is None or shown.rc:
        return []
    try:
        gpus = smi.parse_query_xml(shown.stdout)["gpus"]
    except ValueError:
        return []
    return [{name: gpu[name] for name in ("index", "memory_used_mib", "memory_total_mib")} for gpu in gpus]


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "deployment": {"type": "str"},
            **answer.OPTIONS,
            "timeout": {"type": "float", "default": 10},
            "metrics": {"type": "bool", "default": False},
            "gpus": {"type": "bool", "default": False},
            "as_written": {"type": "bool", "default": False},
            "version": {"type": "str", "default": ""},
            "names": {"type": "list", "elements": "str", "default": []},
            "log_lines": {"type": "int", "default": 0},
        },
        required_by=answer.REQUIRED_BY,
        supports_check_mode=True,
    )
    params = module.params
    on_node = {"installed": systemd_state.deployments(), "routers": systemd_state.routers()}
    if not params["deployment"]:
        module.exit_json(changed=False, **on_node)
    unit = systemd_state.rank_unit(params["deployment"])
    state = systemd_state.state(module.run_command, unit)
    supervisor = systemd_state.state(module.run_command, names.supervisor_unit(params["deployment"]))
    result: dict[str, Any] = {
        "rank_state": state,
        "engine": written_engine(state),
        "supervisor": supervisor,
        "group": check.status(params["deployment"]) or {},
        **on_node,
        "log": systemd_state.log(module.run_command, unit, supervisor["since"], params["log_lines"]),
    }
    if params["gpus"]:
        result["gpus"] = gpu_memory(Host())
    if params["as_written"]:
        found = written.read(params["deployment"])
        result["drift"] = written.drift(found, params, result["engine"])
        params = {**params, **written.endpoint(found, params)}
    trust = Trust(certificate=params["certificate"])
    if params["url"] and params["metrics"]:
        result["metrics"] = metrics.ask(params["url"], params["api_key"], params["timeout"], trust)
    if params["url"]:
        result["answer"] = answer.of_options(params)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
