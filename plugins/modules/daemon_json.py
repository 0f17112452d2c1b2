#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keys of docker's daemon.json, merged into what the user wrote."""

from __future__ import annotations

DOCUMENTATION = r"""
module: daemon_json
version_added: 0.1.0
short_description: Set keys of docker's daemon.json, and leave all others alone
description:
  - Merges O(options) into the file. Objects (C(runtimes), C(features), C(log-opts), C(default-ulimits)) are merged key by
    key; every other value, lists too, replaces what was there. Lists named in O(append) get the items that they lack.
  - Remembers in C(/var/lib/fullrank/docker/owners.json) what each O(owner) set and what it replaced. A key that is no longer
    wanted gets back the value it had, or goes where there was none. A value that was changed in between by
    another hand stays.
  - Writes nothing that dockerd would not start with. Refused with one message and untouched are a file that is not JSON,
    a key that is also a flag of dockerd in its systemd unit (drop-ins and environment files too), a key that another owner
    sets to something else, C(live-restore) on a node of a swarm, and whatever C(dockerd --validate) refuses.
  - Does not restart docker; M(fullrank.serving.docker_restart) does.
options:
  owner:
    description: A name for who sets the keys, such as that of a role. A second call replaces the keys of the first.
    type: str
    required: true
  options:
    description: What the file shall hold. Nothing takes back all that this owner set.
    type: dict
    default: {}
  append:
    description: Top-level keys of O(options) whose lists are added to the list that is there.
    type: list
    elements: str
    default: []
  path:
    description: The file.
    type: path
    default: /etc/docker/daemon.json
  backup:
    description: Keep the file as it was before a change, with the time in its name.
    type: bool
    default: true
attributes:
  check_mode:
    description: Checks everything, by dockerd too, and writes nothing.
    support: full
  diff_mode:
    description: Shows the file before and after; users and passwords in addresses are masked.
    support: full
  idempotent:
    description: A file that holds the wanted keys is not written, whatever its layout.
    support: full
notes:
  - dockerd checks a file since version 23.0 (C(--validate)). With an older one (Debian 12 has 20.10), and where docker is not
    installed yet, only what this module knows itself is checked.
author:
  - The fullrank authors (@fullrank)
"""

EXAMPLES = r"""
- name: Keep logs small, and let containers survive a restart of docker
  fullrank.serving.daemon_json:
    owner: docker
    options:
      log-driver: json-file
      log-opts: {max-size: 100m, max-file: "3"}
      live-restore: true

- name: A mirror besides those that are there
  fullrank.serving.daemon_json:
    owner: mirrors
    options: {registry-mirrors: ["https://mirror.example.com"]}
    append: [registry-mirrors]
"""

RETURN = r"""
owned:
  description: The places in the file that this owner set, as keys joined by dots.
  returned: success
  type: list
  elements: str
  sample: [log-driver, log-opts.max-size]
backup_file:
  description: Where the file as it was before is kept.
  returned: a file was replaced
  type: str
findings:
  description: Why nothing was written; each with severity, code, where, message, remedy and data.
  returned: failure
  type: list
  elements: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fullrank.serving.plugins.module_utils.common.file_diff import file_diff
from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import failures
from ansible_collections.fullrank.serving.plugins.module_utils.docker import config
from ansible_collections.fullrank.serving.plugins.module_utils.docker.daemon import DAEMON_JSON, DaemonJson


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "owner": {"type": "str", "required": True},
            "options": {"type": "dict", "default": {}},
            "append": {"type": "list", "elements": "str", "default": []},
            "path": {"type": "path", "default": DAEMON_JSON},
            "backup": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    params = module.params
    file = DaemonJson(module.run_command, params["path"])
    problems = file.problems
    if not problems:
        plan = file.plan(params["owner"], params["options"], params["append"])
        problems = file.problems
        if plan.changed and not problems:
            problems = file.check(params["options"], plan)
    if problems:
        module.fail_json(msg=failures(problems), findings=problems)
    result: dict[str, Any] = {"owned": sorted({".".join(one["path"]) for one in plan.records if not one.get("made")})}
    if plan.changed and not module.check_mode and file.exists and params["backup"]:
        result["backup_file"] = module.backup_local(params["path"])
    if not module.check_mode:
        file.put(params["owner"], plan)
    if module._diff:
        before, after = ((config.masked(text), 0) if text else None for text in (file.text, plan.text))
        result["diff"] = file_diff(params["path"], before, after)
    module.exit_json(changed=plan.changed, **result)


if __name__ == "__main__":
    main()
