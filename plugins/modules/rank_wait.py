#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Documentation of ``rank_wait``; it runs on the controller, in the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: rank_wait
version_added: 0.1.0
short_description: Wait until a rank, or the group it belongs to, is ready
description:
  - Looks at the rank with M(fullrank.serving.rank_info) until what is waited for has come, and shows what it does
    meanwhile (loading shard 12/163, capturing graphs 5/35, waiting for rank 3), one line for each change and at most one in five
    seconds for changes within a step.
  - Run it on all ranks of a deployment at once. When one of them ends, or its node is lost, the others stop waiting too.
  - Fails as soon as the rank's unit is no longer active, and when the limit is reached.
options:
  deployment:
    description: Name of the deployment.
    type: str
    required: true
  rank:
    description: This host's rank.
    type: int
    required: true
  until:
    description:
      - V(rendezvous) waits until the head listens on O(port); for the head, before the other ranks start.
      - V(ready) waits until the endpoint of the head answers a completion; ranks other than the head wait for the head.
    type: str
    choices: [rendezvous, ready]
    required: true
  port:
    description: Port of the rendezvous. Required with O(until=rendezvous).
    type: int
  url:
    description: Endpoint as the head reaches it, without C(/v1). Required with O(until=ready).
    type: str
  model:
    description: Name of the model as the endpoint serves it.
    type: str
  api_key:
    description: Key of the endpoint.
    type: str
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
- name: Wait until the endpoint answers
  fullrank.serving.rank_wait:
    deployment: deepseek_r1
    rank: 0
    until: ready
    url: http://127.0.0.1:8000
    model: deepseek-r1
    timeout: 3600
"""

RETURN = r"""
waited:
  description: Seconds.
  returned: always
  type: float
"""
