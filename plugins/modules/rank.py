#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""One rank of a deployment on this node: its files, its systemd unit, its state."""

from __future__ import annotations

DOCUMENTATION = r"""
module: rank
version_added: 0.1.0
short_description: Manage one rank of a deployment as a systemd unit
description:
  - Writes the launch of a rank, as M(fullrank.serving.engine_command) renders it, into C(fullrank-DEPLOYMENT.service), and
    starts, stops or removes that unit.
  - The command of the unit is the engine in the foreground. Logs are in the journal, and the unit is enabled, so that it
    survives a reboot.
  - Tells whether what runs is what was written, so that callers restart a group only when they must.
options:
  deployment:
    description: Name of the deployment; names the unit.
    type: str
    required: true
  state:
    description:
      - V(present) writes the unit and its files and enables it, and does not touch a running rank.
      - V(started) and V(stopped) start and stop the unit that is there.
      - V(absent) stops it and removes what V(present) wrote.
    type: str
    choices: [present, started, stopped, absent]
    default: present
  launch:
    description: RV(fullrank.serving.engine_command#module:launch). Required with O(state=present).
    type: dict
  secret:
    description: Content of the launch's secret file, for a launch that has one.
    type: str
  description:
    description: What C(systemctl status) shows as the unit's description.
    type: str
    default: a rank of fullrank
  stop_timeout:
    description: Seconds that the engine is given to end before it is killed.
    type: int
    default: 60
  dynamic_user:
    description:
      - Run the engine as a user of its own that exists while it runs (C(DynamicUser=)), instead of root.
      - It needs to read the weights and its environment, and writes to C(/var/lib/fullrank/DEPLOYMENT) only.
    type: bool
    default: false
  log_lines:
    description: How many of the last lines of the rank's journal to return.
    type: int
    default: 0
attributes:
  check_mode:
    description: Says what would change.
    support: full
  diff_mode:
    description: Shows the unit and its files; a secret is never shown.
    support: full
  idempotent:
    description: A second call with the same launch changes nothing.
    support: full
requirements:
  - systemd 248 or newer
author:
  - The fullrank authors (@fullrank)
"""

EXAMPLES = r"""
- name: Write what starts this rank
  fullrank.serving.rank:
    deployment: deepseek_r1
    launch: "{{ rendered.launch }}"
  register: written

- name: Start it
  fullrank.serving.rank:
    deployment: deepseek_r1
    state: started
  when: not written.current
"""

RETURN = r"""
current:
  description: Whether the rank runs, and was started from the launch that is now written.
  returned: O(state=present)
  type: bool
rank_state:
  description: >-
    What systemd says - unit, exists, enabled, active, sub, result, exit_status, pid, since (seconds since the epoch),
    invocation_id, and spec_hash of what runs.
  returned: always
  type: dict
log:
  description: The last lines of the rank's journal since its last start.
  returned: O(log_lines) is not 0
  type: list
  elements: str
"""

import os
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fullrank.serving.plugins.module_utils import systemd, units

UNITS = Path("/etc/systemd/system")


def wanted_files(given: dict[str, Any]) -> dict[Path, tuple[str, int, bool]]:
    """Path → (content, mode, secret?) of everything that makes up the rank on this node."""
    launch = given["launch"]
    text = units.render_unit(
        deployment=given["deployment"],
        description=given["description"],
        argv=launch["argv"],
        env=launch["env"],
        spec_hash=launch["spec_hash"],
        environment_file=launch["environment_file"],
        load_credential=launch["load_credential"],
        stop_timeout=given["stop_timeout"],
        dynamic_user=given["dynamic_user"] and not launch["container"],
        container=launch["container"] or None,
    )
    files = {UNITS / units.unit_name(given["deployment"]): (text, 0o644, False)}
    files |= {Path(file["path"]): (file["content"], 0o644, False) for file in launch["files"]}
    if launch["secret_file"]:
        files[Path(launch["secret_file"]["path"])] = (given["secret"], int(launch["secret_file"]["mode"], 8), True)
    return files


def read(path: Path) -> tuple[str, int]:
    """Content and mode of a file; empty and 0 when there is none."""
    try:
        return path.read_text(), path.stat().st_mode & 0o777
    except FileNotFoundError:
        return "", 0


def write(path: Path, content: str, mode: int) -> None:
    """Replace a file in one step; it never has other permissions than ``mode``, not even while it is written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    work = path.with_name(f".{path.name}.new")
    work.unlink(missing_ok=True)
    with os.fdopen(os.open(work, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    work.chmod(mode)  # whatever the umask is
    work.replace(path)


def diff_of(path: Path, before: tuple[str, int], after: tuple[str, int], secret: bool) -> dict[str, str]:
    old, new = before[0], after[0]
    if secret:
        old, new = (text and f"({name} secret)\n" for name, text in (("the old", old), ("the new", new)))
    label = f"{path} (mode {after[1]:04o})"
    return {"before_header": label, "after_header": label, "before": old, "after": new}


class Rank:
    """The unit of this node, and how to bring it into the wanted state."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.given: dict[str, Any] = module.params
        self.unit = units.unit_name(self.given["deployment"])
        self.diff: list[dict[str, str]] = []
        self.changed = False

    def state(self) -> dict[str, Any]:
        return systemd.state(self.module.run_command, self.unit)

    def systemctl(self, *words: str) -> None:
        """A change: noted always, made unless in check mode."""
        self.changed = True
        if self.module.check_mode:
            return
        code, _, error = self.module.run_command(["systemctl", *words])
        if code:
            lines = systemd.log(self.module.run_command, self.unit, self.state()["since"], 20)
            self.module.fail_json(msg=f"systemctl {' '.join(words)}: {error.strip()}", log=lines)

    def present(self) -> None:
        written = False
        for path, (content, mode, secret) in wanted_files(self.given).items():
            before = read(path)
            if before == (content, mode):
                continue
            written = self.changed = True
            self.diff.append(diff_of(path, before, (content, mode), secret))
            if not self.module.check_mode:
                write(path, content, mode)
        if written:
            self.systemctl("daemon-reload")
        if not self.state()["enabled"]:
            self.systemctl("enable", "--quiet", self.unit)

    def started(self) -> None:
        state = self.state()
        if state["active"] not in ("active", "activating", "reloading"):
            if state["active"] == "failed" and not self.module.check_mode:
                self.module.run_command(["systemctl", "reset-failed", self.unit], check_rc=True)
            self.systemctl("start", self.unit)

    def stopped(self) -> None:
        if self.state()["active"] not in ("inactive", "failed"):
            self.systemctl("stop", self.unit)

    def absent(self) -> None:
        state = self.state()
        self.stopped()
        if state["enabled"]:
            self.systemctl("disable", "--quiet", self.unit)
        removed = False
        deployment = self.given["deployment"]
        for path in (UNITS / self.unit, *Path("/etc/fullrank").glob(f"{deployment}.*")):
            if path.exists():
                removed = self.changed = True
                secret = ".secret." in path.name
                before = read(path)
                self.diff.append(diff_of(path, before, ("", before[1]), secret))
                if not self.module.check_mode:
                    path.unlink()
        if removed:
            self.systemctl("daemon-reload")


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "deployment": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "started", "stopped", "absent"], "default": "present"},
            "launch": {"type": "dict"},
            "secret": {"type": "str", "no_log": True},
            "description": {"type": "str", "default": "a rank of fullrank"},
            "stop_timeout": {"type": "int", "default": 60},
            "dynamic_user": {"type": "bool", "default": False},
            "log_lines": {"type": "int", "default": 0},
        },
        required_if=[("state", "present", ["launch"])],
        supports_check_mode=True,
    )
    given = module.params
    if given["state"] == "present" and given["launch"]["secret_file"] and not given["secret"]:
        module.fail_json(msg="the launch has a secret file: give its content with 'secret'")
    rank = Rank(module)
    getattr(rank, given["state"])()
    state = rank.state()
    result: dict[str, Any] = {"rank_state": state}
    if given["state"] == "present":
        result["current"] = state["active"] == "active" and state["spec_hash"] == given["launch"]["spec_hash"]
    if given["log_lines"]:
        result["log"] = systemd.log(module.run_command, rank.unit, state["since"], given["log_lines"])
    if module._diff:
        result["diff"] = rank.diff
    module.exit_json(changed=rank.changed, **result)


if __name__ == "__main__":
    main()
