#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A systemd service that runs what is written for it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: service_unit
version_added: 0.1.0
short_description: A systemd service that runs what is written for it
description:
  - Writes a unit and its files, and restarts it when what runs was started from something else. Every start leaves a hash of
    all of it in C(/run/<name>/spec-hash), so a run which was interrupted between writing and starting is noticed by the next one.
  - When the service does not start, the files come back as they were, and what ran before runs again.
options:
  name:
    description: Name of the unit, without C(.service).
    type: str
    required: true
  unit:
    description: The unit's text; the header line is put before it, and its service gets C(RuntimeDirectory=<name>) besides.
    type: str
  files:
    description: Files that it runs from.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Where.
        type: path
        required: true
      content:
        description: The text, without the header line that is put before it.
        type: str
        required: true
      mode:
        description: Permissions, as four octal digits.
        type: str
        default: "0644"
      nginx:
        description:
          - Whether O(files[].content) is the rest of the C(http) block of an nginx instance. What instances have in common is put
            around it, with workers of the account C(www-data), the pid in C(/run/<name>) and bodies in C(/var/lib/<name>).
        type: bool
        default: false
  watch:
    description: Files that others write, whose change is a change of the service, such as certificates.
    type: list
    elements: path
    default: []
  state:
    description: V(absent) stops the service and removes unit and files.
    type: str
    choices: [present, absent]
    default: present
attributes:
  check_mode:
    description: Changes nothing.
    support: full
  diff_mode:
    description: Shows unit and files.
    support: full
author:
  - The fullrank authors (@fullrank)
"""

EXAMPLES = r"""
- name: An nginx of our own
  fullrank.serving.service_unit:
    name: fullrank-webui-tls
    unit: "{{ lookup('ansible.builtin.template', 'etc/systemd/system/fullrank-webui-tls.service.j2') }}"
    files:
      - path: /etc/fullrank/webui-tls.conf
        content: "{{ lookup('ansible.builtin.template', 'etc/fullrank/webui-tls.conf.j2') }}"
        nginx: true
    watch: [/etc/fullrank/webui-tls.crt]
"""

RETURN = r"""#"""

import hashlib
import time
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fullrank.serving.plugins.module_utils.systemd.nginx import configuration
from ansible_collections.fullrank.serving.plugins.module_utils.systemd.service import File, Service, diff
from ansible_collections.fullrank.serving.plugins.module_utils.systemd.unit_text import HEADER, render

UNITS = "/etc/systemd/system"
RUNTIME = "/run"
# a drop-in beside the unit, whose text is the caller's
STAMP = """\
[Service]
RuntimeDirectory={name}
ExecStartPost=/bin/sh -c 'echo {hash} >{runtime}/{name}/spec-hash'
"""
LOG_LINES = 15
SETTLED_S = 2  # what cannot bind its port ends within it


def digest(unit: str, files: list[File], watch: list[str]) -> str:
    """What the service runs from, as one hash. A watched file that is not there yet (check mode) counts as empty."""
    parts = [unit.encode(), *(f"{one.path} {one.mode:o} {one.content}".encode() for one in files)]
    parts += [Path(path).read_bytes() if Path(path).exists() else b"" for path in watch]
    return hashlib.sha256(b"\0".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


def text(name: str, file: dict[str, Any]) -> str:
    """A file with its header line. name: of the service. file: an element of the option ``files``."""
    if not file["nginx"]:
        return f"# {HEADER}\n{file['content']}"
    return configuration(run=f"{RUNTIME}/{name}", cache=f"/var/lib/{name}", http=file["content"], user="www-data")


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "unit": {"type": "str"},
            "files": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "path": {"type": "path", "required": True},
                    "content": {"type": "str", "required": True},
                    "mode": {"type": "str", "default": "0644"},
                    "nginx": {"type": "bool", "default": False},
                },
            },
            "watch": {"type": "list", "elements": "path", "default": []},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        required_if=[("state", "present", ["unit"])],
        supports_check_mode=True,
    )
    params = module.params
    files = [File(one["path"], text(params["name"], one), int(one["mode"], 8)) for one in params["files"]]
    path = f"{UNITS}/{params['name']}.service"
    absent = params["state"] == "absent"
    unit = f"# {HEADER}\n{params['unit'] or ''}"
    wanted = digest(unit, files, params["watch"])
    name = params["name"]
    stamp = File(f"{path}.d/fullrank-spec-hash.conf", render(STAMP, name=name, hash=wanted, runtime=RUNTIME))
    files = [*files, File(path, unit), stamp]
    service = Service(module.run_command, f"{name}.service", files, wanted, f"{RUNTIME}/{name}/spec-hash")

    if absent:
        there = [one for one in service.before.values() if one is not None]
        if there and not module.check_mode:
            service.remove()
        module.exit_json(changed=bool(there), diff=[diff(one, None) for one in there])
    if service.current():
        module.exit_json(changed=False)
    diffs = [*service.differences(), {"prepared": f"{params['name']}.service is restarted\n"}]
    begun = time.monotonic()

    def settled() -> str:
        return "" if time.monotonic() > begun + SETTLED_S else "it has only begun"

    if not module.check_mode and (why := service.start(service.files, settled, 10 * SETTLED_S)):
        log = "\n".join(service.log(LOG_LINES))
        service.back()
        if service.state_before["active"] == "active":
            service.systemctl("start", service.unit)
        module.fail_json(msg=f"{params['name']}: {why}. It is as it was before. Its log ends with:\n{log}")
    module.exit_json(changed=True, diff=diffs)


if __name__ == "__main__":
    main()
