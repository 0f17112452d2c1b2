#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which run is at work on a replica."""

from __future__ import annotations

DOCUMENTATION = r"""
module: run_lock
version_added: 0.1.0
short_description: Let one run at a time work on a replica
description:
  - Takes the lock of a deployment on this node, the head of a replica, or reports the run that holds it. It does not fail then; a
    caller does on all ranks at once.
  - A lock ends with O(state=released), after O(seconds), at the next boot of the node, or with its run. That a run is dead is
    seen where it ran - by a later run on the same controller; a run of another controller keeps others away for its time.
  - It is no change of the node, which forgets it.
options:
  deployment:
    description: Name of the deployment.
    type: str
    required: true
  state:
    description: V(taken) takes the lock, or takes it again; V(released) ends it, when this run has it.
    type: str
    choices: [taken, released]
    default: taken
  seconds:
    description: How long a run that neither ends nor releases the lock keeps others away.
    type: int
    default: 3600
  run:
    description: The run. Its identity, as the controller knows it, when not set.
    type: str
  by:
    description: Who runs it, for messages. User, controller and playbook when not set.
    type: str
  over:
    description: A run that is known to be dead, whose lock may be taken.
    type: str
    default: ""
extends_documentation_fragment:
  - fullrank.serving.attributes
author:
  - The fullrank authors (@fullrank)
"""

EXAMPLES = r"""
- name: Take the deployment for this run
  fullrank.serving.run_lock:
    deployment: deepseek_r1
    seconds: 7200
  register: lock

- name: Refuse to disturb another run
  ansible.builtin.fail:
    msg: "{{ lock.why }}"
  when: lock.why != ""
"""

RETURN = r"""
holder:
  description: The other run that holds the lock - id, by, since and until (seconds since the epoch); empty where none does.
  returned: always
  type: dict
why:
  description: The same as a sentence for people, with what to do; empty where no other run holds it.
  returned: always
  type: str
  sample: >-
    another run is at work on deepseek_r1 since 14:03:05, by root@ops1 (playbooks/upgrade.yml, pid 4711): wait until it has ended
"""

import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fullrank.serving.plugins.module_utils.rank import run_lock


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "deployment": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["taken", "released"], "default": "taken"},
            "seconds": {"type": "int", "default": 3600},
            "run": {"type": "str"},
            "by": {"type": "str"},
            "over": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    params = module.params
    path, now, own = run_lock.place(params["deployment"]), time.time(), params["run"] or ""
    if module.check_mode:
        holder = run_lock.held(path, now, own) if params["state"] == "taken" else {}
    else:
        take = {"by": params["by"] or "", "until": now + params["seconds"]} if params["state"] == "taken" else None
        holder = run_lock.change(path, now, take, own, params["over"])
    module.exit_json(changed=False, holder=holder, why="")


if __name__ == "__main__":
    main()
