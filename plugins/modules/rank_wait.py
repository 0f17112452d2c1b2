#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation of ``rank_wait``; it runs on the controller, in the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: rank_wait
version_added: 0.1.0
short_description: Wait until the group of a rank is ready
description:
  - Asks the rank's supervisor, with M(fullrank.serving.rank_info), until the deployment is ready, and shows what the rank
    does meanwhile (loading shard 12/163, capturing graphs 5/35, waiting for rank 3), one line for each change and at most one in
    five seconds for changes within a step.
  - Run it on all ranks of a deployment at once, after their supervisors were started. When one of them reports that a start has
    failed, or a node is lost, all stop waiting.
  - The supervisors have limits of their own for each step; O(timeout) is only for what they cannot see.
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
  timeout:
    description: Seconds after which waiting is given up.
    type: int
    required: true
extends_documentation_fragment:
  - fullrank.serving.attributes.controller
author:
  - The fullrank authors (@fullrank)
"""

EXAMPLES = r"""
- name: Wait until the deployment is ready
  fullrank.serving.rank_wait:
    deployment: deepseek_r1
    hosts: "{{ groups['deepseek_r1'] }}"
    timeout: 3600
"""

RETURN = r"""
waited:
  description: Seconds.
  returned: always
  type: float
"""
