#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation of ``rendezvous``; it runs on the controller, in the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: rendezvous
version_added: 0.1.0
short_description: Where the ranks of a deployment meet
description:
  - From what M(fullrank.serving.rank_host_info) found on every node of a deployment to rank, address and interface of this
    node and the head's address, the one that every other rank uses.
  - Fails, with the findings of all ranks, when one of them cannot be started - its node does not answer, it cannot tell
    the interface, a port is in use, a file is missing.
  - Runs on the controller without a connection and changes nothing.
options:
  deployment:
    description: Name of the deployment.
    type: str
    required: true
  label:
    description: What messages call the group, where the deployment has several replicas. The deployment's name when empty.
    type: str
    default: ""
  hosts:
    description: The hosts in rank order; those of one replica, where the deployment has several.
    type: list
    elements: str
    required: true
  facts:
    description:
      - What M(fullrank.serving.rank_host_info) returned on each of O(hosts), in the same order.
      - An item without RV(fullrank.serving.rank_host_info#module:candidates) means that the node did not answer.
    type: list
    elements: dict
    required: true
  declared:
    description:
      - Addresses of O(hosts) as the inventory has them, to plan with where a node does not answer. A plan has warnings
        where a start has failures.
    type: list
    elements: str
  declared_interface:
    description: Interface of O(declared), as it is declared; empty where it is not.
    type: str
    default: ""
  network:
    description: The O(fullrank.serving.rank_host_info#module:network) that was asked for, for the messages.
    type: str
    default: ""
extends_documentation_fragment:
  - fullrank.serving.attributes.controller
author:
  - The fullrank authors (@fullrank)
"""

EXAMPLES = r"""
- name: Agree on the ranks
  fullrank.serving.rendezvous:
    deployment: deepseek_r1
    hosts: "{{ groups['deepseek_r1'] }}"
    facts: "{{ groups['deepseek_r1'] | map('extract', hostvars) | map(attribute='facts', default={}) }}"
  register: rendezvous
"""

RETURN = r"""
rank:
  description: This host's rank.
  returned: success
  type: int
nnodes:
  description: Number of ranks.
  returned: success
  type: int
interface:
  description: This node's rendezvous interface; empty for a deployment of one rank.
  returned: success
  type: str
address:
  description: This node's address on it; empty for a deployment of one rank.
  returned: success
  type: str
head_address:
  description: Rank 0's address on its rendezvous interface; empty for a deployment of one rank.
  returned: success
  type: str
findings:
  description: What keeps the deployment from starting, with severity, code, where, message, remedy and data.
  returned: always
  type: list
  elements: dict
"""
