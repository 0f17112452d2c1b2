#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks endpoints as a client uses them, and reports what is wrong with their answers."""

from __future__ import annotations

DOCUMENTATION = r"""
module: endpoint_check
version_added: 0.1.0
short_description: Check every endpoint of the deployments as a client uses it
description:
  - Requests from each endpoint its models, a completion, one that streams, and, where a key is required, without it and with a
    wrong one.
  - An endpoint that must not serve (the port of a rank that is not the head) must not answer a completion.
  - All endpoints are checked at the same time. Does not fail on what it finds, so that callers can show all findings first.
options:
  endpoints:
    description: The endpoints to check.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name for people.
        type: str
        required: true
      url:
        description: Address as the host that sends the requests reaches it, without C(/v1).
        type: str
        required: true
      serves:
        description: Whether a model is to answer there.
        type: bool
        default: true
      model:
        description: Name of the model.
        type: str
        default: ""
      api_key:
        description: Key that clients must send. An endpoint without one is open, which is reported.
        type: str
      engine:
        description: The engine that serves there, or behind it. Its control and information paths are asked without a key.
        type: str
        default: ""
      place:
        description:
          - Where it stands. At a router no path may answer without the key. Of an engine V(alone) before its clients the paths
            that do are reported with a warning, V(behind_router) they are only listed.
        type: str
        choices: [alone, behind_router, router]
        default: alone
      task:
        description: What the model is served for, C(engine_task); it decides which request is sent.
        type: str
        choices: [generate, embed, score, classify, transcribe, pool, half]
        default: generate
      ready:
        description: >-
          URL at which the supervisor of its group reports the state, C(ready) of P(fullrank.serving.endpoint#lookup). It is
          requested where the endpoint does not answer, and tells whether it was stopped or still starts.
        type: str
        default: ""
      ca_file:
        description: PEM file, on the host that asks, with authorities that count for C(https) besides those of that host.
        type: str
        default: ""
      ca_data:
        description: Such authorities as PEM text, for a host that has no file of them.
        type: str
        default: ""
      certificate:
        description:
          - PEM file, on the host that asks, with the very certificate that the endpoint must show. No other counts then, and its
            names do not matter.
        type: str
        default: ""
      ask_from:
        description: The same as O(ask_from), for this endpoint; that of the task when not set.
        type: str
        choices: [controller, node]
  ask_from:
    description: Send the requests from the host of the task, or from the controller without a connection to the host.
    type: str
    choices: [controller, node]
    default: node
  timeout:
    description: Seconds for each answer.
    type: float
    default: 60
attributes:
  check_mode:
    description: Reads only.
    support: full
  diff_mode:
    description: Changes nothing, so there is nothing to show.
    support: none
  action:
    description: Runs on the controller where O(ask_from=controller).
    support: full
author:
  - The fullrank authors (@fullrank)
"""

EXAMPLES = r"""
- name: Check the head and the other rank
  fullrank.serving.endpoint_check:
    endpoints:
      - {name: tiny rank 0, url: "http://192.0.2.11:8000", model: tiny, api_key: "{{ vault_tiny_key }}"}
      - {name: tiny rank 1, url: "http://192.0.2.12:8000", model: tiny, serves: false}
"""

RETURN = r"""
checks:
  description: What was found - severity (pass, warn or fail), code, where (the name of the endpoint), message, remedy and data.
  returned: always
  type: list
  elements: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fullrank.serving.plugins.module_utils.endpoint import checks


def main() -> None:
    module = AnsibleModule(argument_spec=checks.OPTIONS, supports_check_mode=True)
    module.exit_json(changed=False, checks=checks.look_at_all(module.params["endpoints"], module.params["timeout"]))


if __name__ == "__main__":
    main()
