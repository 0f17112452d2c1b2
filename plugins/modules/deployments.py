#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation of ``deployments``; it runs on the controller, in the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: deployments
version_added: 0.1.0
short_description: Check the deployments of the inventory before any node is touched
description:
  - Reads the child groups of C(deployments) and checks their shape - names, none empty, no host in two of them, no port and no
    GPU used twice on one machine, replicas of equal size.
  - Checks the variables of every host - types, choices, ranges and formats as the roles of this collection declare them, what
    they need of each other, and the launches that they give against the options of the engine's version. A variable that is
    almost an option of a role is refused as misspelt; one that only begins like those of a role, or that is an option of the
    engine, is a warning. What only a node can tell is left out.
  - Each finding names the variable, the file and line where it was set, and what to write.
  - Fails once, with all findings.
  - Runs on the controller without a connection and changes nothing.
options:
  check_variables:
    description: Whether the variables of the hosts are checked, or the shape of the inventory only.
    type: bool
    default: true
  required:
    description: Whether there must be a deployment. Nodes can be prepared before it is known what they will serve.
    type: bool
    default: true
  hosts:
    description:
      - The hosts of this run, as C(--limit) leaves them; C(ansible_play_hosts_all) in a play of all hosts. A run that has no host
        of O(works_on), or only a part of what O(whole) names, is refused with what to add.
      - The limit is not looked at when not set.
    type: list
    elements: str
  whole:
    description:
      - What the run must have all hosts of, where it has one. V(replicas) are the ranks that start and stop together.
      - V(deployments) are, where C(model_hub) is set, all hosts between which weights are distributed; otherwise replicas, too.
    type: str
    choices: [nothing, replicas, deployments]
    default: nothing
  of:
    description: Deployments for which O(whole) holds. All when empty.
    type: list
    elements: str
    default: []
  tags:
    description: C(ansible_run_tags). Tags by which no step of C(site.yml) runs are a warning.
    type: list
    elements: str
    default: []
  works_on:
    description: Groups on which the playbook works, of which the run must have a host.
    type: list
    elements: str
    default: [deployments, gpu_nodes, router, webui, monitoring]
extends_documentation_fragment:
  - fullrank.serving.attributes.controller
author:
  - The fullrank authors (@fullrank)
"""

EXAMPLES = r"""
- name: Check the inventory
  hosts: localhost
  gather_facts: false
  tasks:
    - name: Check the deployments and their variables
      fullrank.serving.deployments:
"""

RETURN = r"""
deployments:
  description: Name → hosts in the order of the group.
  returned: always
  type: dict
  sample: {"deepseek_r1": ["gpu1", "gpu2", "gpu3", "gpu4"]}
replicas:
  description: Name → the hosts of each replica in rank order, as C(engine_replicas) cuts them.
  returned: always
  type: dict
  sample: {"deepseek_r1": [["gpu1", "gpu2"], ["gpu3", "gpu4"]]}
routers_on_heads:
  description: Heads outside the group C(router) that route deployments by C(engine_router_on_head), with those deployments.
  returned: always
  type: dict
  sample: {"gpu1": ["deepseek_r1"]}
findings:
  description: What is wrong, with severity, code, where, message, remedy and data.
  returned: always
  type: list
  elements: dict
"""
