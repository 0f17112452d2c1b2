#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: the fullrank authors
from __future__ import annotations

DOCUMENTATION = r"""
module: node_files
short_description: A list of small configuration files, written or put aside in one step
version_added: 0.1.0
description:
  - Writes files whose whole content belongs to the caller, each in one step. One task for a list, because each task costs
    a node about half a second.
  - Our files begin with a line that says so. A file without it is somebody else's; before it is replaced it is copied to
    C(<path>.save), a name that apt, modprobe and systemd do not read.
options:
  files:
    description: The files.
    type: list
    elements: dict
    required: true
    suboptions:
      path:
        description: Where.
        type: path
        required: true
      content:
        description: The text below the first line. Needed for O(files[].state=present).
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
        description: The file is ours although its format has no place for the first line, such as a keyring.
        type: bool
        default: false
      state:
        description:
          - V(absent) removes a file of ours, and renames somebody else's to C(<path>.save).
        type: str
        choices: [present, absent]
        default: present
  validate:
    description:
      - A command that refuses wrong files before any of them replaces what is there. It runs in a folder of its own, which
        holds all O(files) as they would be, by the last part of their paths, so that files that name each other are checked
        together.
      - Nothing is asked while the first word of it, a path, is not on the node and the module runs in check mode.
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
  description: The files that were written or put aside, or would be.
  returned: always
  type: list
  elements: str
"""

import tempfile
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fullrank.serving.plugins.module_utils.common.files import write

OURS = "Written by Ansible (fullrank.serving); changes are overwritten."
OPTIONS = {
    "path": {"type": "path", "required": True},
    "content": {"type": "str"},
    "mode": {"type": "str", "default": "0644"},
    "comment": {"type": "str", "default": "#"},
    "ours": {"type": "bool", "default": False},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
}


def read(path: Path) -> tuple[str, int] | None:
    """Content and permissions; None where there is no such file."""
    try:
        return path.read_text(errors="replace"), path.stat().st_mode & 0o7777
    except FileNotFoundError:
        return None


def put_aside(path: Path, move: bool) -> None:
    aside = path.with_name(f"{path.name}.save")
    if move:
        path.replace(aside)
    else:
        aside.write_bytes(path.read_bytes())


def wanted(entry: dict[str, Any]) -> tuple[str, int] | None:
    """Content and permissions that a file shall have; None for one that shall not be."""
    if entry["state"] == "absent":
        return None
    head = "" if entry["ours"] else f"{entry['comment']} {OURS}\n"
    return head + entry["content"], int(entry["mode"], 8)


def bring(entry: dict[str, Any]) -> None:
    """Make the file what is wanted."""
    path, after, before = Path(entry["path"]), wanted(entry), read(Path(entry["path"]))
    own = entry["ours"] or (before is not None and OURS in before[0].partition("\n")[0])
    if before is not None and not own:
        put_aside(path, move=after is None)
    elif after is None:
        path.unlink()
    if after is not None:
        write(path, *after)


def validate(module: AnsibleModule) -> None:
    """Fail with the command's own words where it refuses the files."""
    command = module.params["validate"]
    if module.check_mode and not Path(command[0]).exists():
        return  # comes with a package that would have been installed before
    with tempfile.TemporaryDirectory(dir=module.tmpdir) as folder:
        for entry in module.params["files"]:
            if (content := wanted(entry)) is not None:
                write(Path(folder) / Path(entry["path"]).name, *content)
        code, output, error = module.run_command(command, cwd=folder)
    if code:
        names = ", ".join(entry["path"] for entry in module.params["files"])
        said = f"{output}\n{error}".strip()
        module.fail_json(msg=f"{' '.join(command)} refuses {names}, nothing was changed:\n{said}")


def diff_of(path: str, before: tuple[str, int] | None, after: tuple[str, int] | None) -> dict[str, str]:
    old, new = before or ("", 0), after or ("", 0)
    return {
        "before_header": f"{path} (mode {old[1]:04o})" if before else path,
        "after_header": f"{path} (mode {new[1]:04o})" if after else f"{path} (removed)",
        "before": old[0],
        "after": new[0],
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "files": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": OPTIONS,
                "required_if": [("state", "present", ["content"])],
            },
            "validate": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    if module.params["validate"] and any(read(Path(one["path"])) != wanted(one) for one in module.params["files"]):
        validate(module)
    changed, diffs = [], []
    for entry in module.params["files"]:
        before, after = read(Path(entry["path"])), wanted(entry)
        if before == after:
            continue
        changed.append(entry["path"])
        diffs.append(diff_of(entry["path"], before, after))
        if not module.check_mode:
            bring(entry)
    result: dict[str, Any] = {"diff": diffs} if module._diff else {}
    module.exit_json(changed=bool(changed), changed_paths=changed, **result)


if __name__ == "__main__":
    main()
