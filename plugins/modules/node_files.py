#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: the fullrank authors
from __future__ import annotations

DOCUMENTATION = r"""
module: node_files
short_description: Write or remove a list of small configuration files in one task
version_added: 0.1.0
description:
  - Writes files whose whole content belongs to the caller, each atomically. It takes a list, because every task and every
    item of a loop costs a node about half a second (decision 095 compares it with M(ansible.builtin.copy)).
  - A managed file begins with a header line. A file without it is foreign; before it is replaced or removed it is kept as
    C(<path>.save), a name that apt, modprobe and systemd do not read.
options:
  files:
    description: The files.
    type: list
    elements: dict
    required: true
    suboptions:
      path:
        description: Absolute path of the file.
        type: path
        required: true
      content:
        description: The text below the header line. Required with O(files[].state=present).
        type: str
      mode:
        description: Permissions, as four octal digits.
        type: str
        default: "0644"
      comment:
        description: What begins a comment in this file.
        type: str
        default: "#"
      ours:
        description: Write no header line and treat the file as managed, for formats that have no comments, such as a keyring.
        type: bool
        default: false
      state:
        description:
          - V(absent) removes a managed file, and renames a foreign one to C(<path>.save).
        type: str
        choices: [present, absent]
        default: present
  validate:
    description:
      - A command that checks the new files before any of them replaces an old one. It runs in a temporary folder that holds
        all O(files) under their base names, so that files that include each other are checked together.
      - In check mode it is skipped when its program, given as a path, is not installed yet.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    description: Writes nothing, and runs O(validate).
    support: full
  diff_mode:
    description: Shows each file before and after.
    support: full
author:
  - The fullrank authors (@fullrank)
"""

EXAMPLES = r"""
- name: Keep nouveau away, and forget an old source
  fullrank.serving.node_files:
    files:
      - {path: /etc/modprobe.d/fullrank-nouveau.conf, content: "blacklist nouveau\n"}
      - {path: /etc/apt/sources.list.d/cuda.list, state: absent}

- name: Rules and the configuration that names them, or neither
  fullrank.serving.node_files:
    files:
      - {path: /etc/fullrank/monitoring/prometheus.yml, content: "rule_files: [rules.yml]\n"}
      - {path: /etc/fullrank/monitoring/rules.yml, content: "groups: []\n"}
    validate: [/usr/bin/promtool, check, config, prometheus.yml]
"""

RETURN = r"""
changed_paths:
  description: Paths of the files that were written or removed, or would be.
  returned: always
  type: list
  elements: str
"""

import tempfile
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fullrank.serving.plugins.module_utils.common.files import write
from ansible_collections.fullrank.serving.plugins.module_utils.node import managed_files


def validate(module: AnsibleModule) -> None:
    """Fail with the command's output where it refuses the files."""
    command = module.params["validate"]
    if module.check_mode and not Path(command[0]).exists():
        return  # its package would be installed by an earlier task
    with tempfile.TemporaryDirectory(dir=module.tmpdir) as folder:
        for entry in module.params["files"]:
            if (content := managed_files.wanted(entry)) is not None:
                write(Path(folder) / Path(entry["path"]).name, *content)
        code, output, error = module.run_command(command, cwd=folder)
    if code:
        names = ", ".join(entry["path"] for entry in module.params["files"])
        details = f"{output}\n{error}".strip() or f"it ended with {code} and printed nothing"
        module.fail_json(msg=f"{' '.join(command)} refuses {names}, nothing was changed:\n{details}")


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "files": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": managed_files.OPTIONS,
                "required_if": [("state", "present", ["content"])],
            },
            "validate": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    if wrong := managed_files.wrong(module.params["files"]):
        module.fail_json(msg=f"{wrong}. Nothing was changed")
    changed = managed_files.differing(module.params["files"])
    if module.params["validate"] and changed:
        validate(module)
    result: dict[str, Any] = {"diff": [managed_files.diff(entry) for entry in changed]} if module._diff else {}
    if not module.check_mode:
        for entry in changed:
            managed_files.apply(entry)
    module.exit_json(changed=bool(changed), changed_paths=[entry["path"] for entry in changed], **result)


if __name__ == "__main__":
    main()
