#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: the fullrank authors
from __future__ import annotations

DOCUMENTATION = r"""
module: host_tuning_apply
short_description: Carry out what host_tuning_plan has found missing
version_added: 0.1.0
description:
  - Records what was found first in C(/var/lib/fullrank/host_tuning.json), then writes the values into the running kernel and
    runs the commands. Files are written by M(fullrank.serving.node_files).
options:
  plan:
    description: The result of M(fullrank.serving.host_tuning_plan).
    type: dict
    required: true
  forget:
    description: Remove the record afterwards, because what was found first is restored.
    type: bool
    default: false
attributes:
  check_mode:
    description: Says what would change.
    support: full
  diff_mode:
    description: Shows values before and after, and the commands.
    support: full
author:
  - The fullrank authors (@fullrank)
"""

EXAMPLES = r"""
- name: Do it
  fullrank.serving.host_tuning_apply:
    plan: "{{ plan }}"
  when: plan.pending
"""

RETURN = r"""
values:
  description: What was written.
  returned: always
  type: dict
"""

import json
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fullrank.serving.plugins.module_utils.common.files import write
from ansible_collections.fullrank.serving.plugins.module_utils.host_tuning.plan import current

RECORD = Path("/var/lib/fullrank/host_tuning.json")


def main() -> None:
    module = AnsibleModule(
        argument_spec={"plan": {"type": "dict", "required": True}, "forget": {"type": "bool", "default": False}},
        supports_check_mode=True,
    )
    plan, forget = module.params["plan"], module.params["forget"]
    if not module.check_mode:
        if not forget:
            write(RECORD, json.dumps(plan["first"], indent=2, sort_keys=True) + "\n", 0o644)
        for path, value in plan["values"].items():
            try:
                Path(path).write_text(f"{value}\n")
            except OSError as error:
                module.fail_json(msg=f"{path}: the kernel refuses {value!r}: {error.strerror}")
            held = current(Path(path).read_text())
            if held != value:  # huge pages, for which there is no memory left, are given in part without an error
                module.fail_json(msg=f"{path}: {value!r} was written, but the kernel holds {held!r}")
        for command in plan["commands"]:
            module.run_command(command, check_rc=True)
        if forget:
            RECORD.unlink(missing_ok=True)
    commands = "".join(f"run {' '.join(words)}\n" for words in plan["commands"])
    after = "".join(f"{path} = {value}\n" for path, value in plan["values"].items()) + commands
    before = "".join(f"{path} = {value}\n" for path, value in plan["before"].items())
    module.exit_json(changed=plan["pending"], values=plan["values"], diff={"before": before, "after": after})


if __name__ == "__main__":
    main()
