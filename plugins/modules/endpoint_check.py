#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Asks endpoints as a client does, and says what is wrong with their answers."""

from __future__ import annotations

DOCUMENTATION = r"""
module: endpoint_check
version_added: 0.1.0
short_description: Ask every door of the deployments as a client does
description:
  - Asks each door for its models, for a completion, for one that streams, and, where a key is wanted, without it and with a wrong one.
  - A door that must not serve (the port of a rank that is not the head) must not answer a completion.
  - All doors are asked at the same time. Does not fail on what it finds, so that callers can show all of it first.
options:
  doors:
    description: What is asked.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name for people.
        type: str
        required: true
      url:
        description: Address as the host that asks reaches it, without C(/v1).
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
        description: Key that clients must send. Where it is not set, everybody is let in, which is reported.
        type: str
  timeout:
    description: Seconds for each answer.
    type: float
    default: 60
extends_documentation_fragment:
  - fullrank.serving.attributes
author:
  - The fullrank authors (@fullrank)
"""

EXAMPLES = r"""
- name: Ask the head and the other rank
  fullrank.serving.endpoint_check:
    doors:
      - {name: tiny rank 0, url: "http://192.0.2.11:8000", model: tiny, api_key: "{{ vault_tiny_key }}"}
      - {name: tiny rank 1, url: "http://192.0.2.12:8000", model: tiny, serves: false}
"""

RETURN = r"""
checks:
  description: What was found - id, status (pass, warn or fail), where (the name of the door), message, remedy and data.
  returned: always
  type: list
  elements: dict
"""

from concurrent.futures import ThreadPoolExecutor

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fullrank.serving.plugins.module_utils import doors


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "doors": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "url": {"type": "str", "required": True},
                    "serves": {"type": "bool", "default": True},
                    "model": {"type": "str", "default": ""},
                    "api_key": {"type": "str", "no_log": True},
                },
            },
            "timeout": {"type": "float", "default": 60},
        },
        supports_check_mode=True,
    )
    ask = doors.asker(module.params["timeout"])
    asked = [doors.Door(**one) for one in module.params["doors"]]
    with ThreadPoolExecutor(max_workers=32) as pool:
        found = list(pool.map(lambda door: doors.look(door, ask), asked))
    module.exit_json(changed=False, checks=[one for checks in found for one in checks])


if __name__ == "__main__":
    main()
