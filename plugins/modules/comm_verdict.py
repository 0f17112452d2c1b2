#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation of ``comm_verdict``; it runs on the controller, in the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: comm_verdict
version_added: 0.1.0
short_description: Whether the ranks of a deployment communicate well enough, and which node does not
description:
  - From what M(fullrank.serving.comm_check) returned on every node to a verdict, with the slow node or pair named.
  - A node is slow when all its pairs are; a pair is slow when it misses one of the limits. With two nodes it cannot be decided
    which of them it is.
  - Does not fail on a bad verdict, so that callers can show the numbers first.
  - Runs on the controller without a connection and changes nothing.
options:
  deployment:
    description: Name of the deployment or of its replica, for the messages.
    type: str
    required: true
  hosts:
    description: The hosts of the deployment, or of its replica, in rank order.
    type: list
    elements: str
    required: true
  runs:
    description:
      - What M(fullrank.serving.comm_check) returned on each of O(hosts), in the same order.
      - An item without RV(fullrank.serving.comm_check#module:records) means that the node took no part.
    type: list
    elements: dict
    required: true
  backend:
    description: O(fullrank.serving.comm_check#module:backend).
    type: str
    choices: [nccl, gloo, mpi]
    default: nccl
  expect_rdma:
    description: Traffic between nodes over TCP sockets is a failure.
    type: bool
    default: false
  min_gbps:
    description: Gbit/s in each direction that every pair of nodes must reach, and the bus bandwidth of all ranks together.
    type: float
    default: 0
  min_link_share:
    description: Share of RV(fullrank.serving.comm_check#module:link_gbps) that every pair must reach. 0 sets no limit.
    type: float
    default: 0
  min_pair_share:
    description: >-
      Share of what a node of this group usually reaches (the median of every node's best pair) that every pair must reach.
      Compares from three nodes on.
    type: float
    default: 0.5
extends_documentation_fragment:
  - fullrank.serving.attributes.controller
author:
  - The fullrank authors (@fullrank)
"""

EXAMPLES = r"""
- name: Judge
  fullrank.serving.comm_verdict:
    deployment: deepseek_r1
    hosts: "{{ groups['deepseek_r1'] }}"
    runs: "{{ groups['deepseek_r1'] | map('extract', hostvars) | map(attribute='comm', default={}) }}"
    expect_rdma: true
    min_gbps: 300
  register: verdict
"""

RETURN = r"""
passed:
  description: Whether nothing is wrong.
  returned: success
  type: bool
result:
  description: >-
    For programs - passed, backend, nodes, processes, all_reduce (bytes, seconds, bus_gbps), pairs (nodes, gbps, latency_us),
    link_gbps (per node), findings (severity, code, where, message, remedy, data).
  returned: success
  type: dict
table:
  description: For people, a line per size and per pair.
  returned: success
  type: list
  elements: str
report:
  description: All findings, a line each; empty when there is none.
  returned: success
  type: str
"""
