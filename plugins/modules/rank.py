#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""One rank of a deployment on this node: its files, its systemd unit, its state."""

from __future__ import annotations

DOCUMENTATION = r"""
module: rank
version_added: 0.1.0
short_description: Manage one rank of a deployment as systemd units, its engine and its supervisor
description:
  - Writes the launch of a rank, as M(fullrank.serving.engine_command) renders it, into C(fullrank-DEPLOYMENT.service). The
    command of this unit is the engine in the foreground; logs are in the journal.
  - Writes the rank's supervisor, C(fullrank-DEPLOYMENT-group.service), and starts, stops or removes it. The supervisors of all
    ranks start the engines together, in rank order, and again when one of them is lost.
  - C(fullrank-check DEPLOYMENT) on the node tells by its exit status whether the deployment is ready.
  - Tells whether what runs is what was written, so that callers restart a group only when they must.
options:
  deployment:
    description: Name of the deployment; names the unit.
    type: str
    required: true
  state:
    description:
      - V(present) writes the units and their files, and does not touch a running engine; a supervisor that runs reads them.
      - V(started) starts the supervisor, now and after each boot. The engine starts when all ranks of the group are there.
      - V(stopped) stops the supervisor, and with it the engine, until it is started again, over a reboot too.
      - V(absent) stops it and removes what V(present) wrote.
    type: str
    choices: [present, started, stopped, absent]
    default: present
  launch:
    description: RV(fullrank.serving.engine_command#module:launch). Required with O(state=present).
    type: dict
  group:
    description: What the supervisor must know of the group. Required with O(state=present).
    type: dict
    suboptions:
      rank:
        description: This node's rank.
        type: int
        required: true
      names:
        description: Names of all ranks for people, in rank order.
        type: list
        elements: str
        required: true
      addresses:
        description: Addresses of all ranks on the rendezvous interface, in rank order; one empty text for a single rank.
        type: list
        elements: str
        required: true
      port:
        description: Port on which the supervisors talk to each other (UDP) and say whether the deployment is ready (HTTP).
        type: int
        required: true
      spec:
        description: The same text on all ranks that were rendered together, another one for any other launch.
        type: str
        required: true
      url:
        description: Endpoint as the head reaches it, without C(/v1).
        type: str
        required: true
      model:
        description: Name of the model as the endpoint serves it.
        type: str
        required: true
      requires:
        description: Paths without which the engine is not started, e.g. the weights.
        type: list
        elements: path
        default: []
      meet_timeout:
        description: Seconds until the head must listen on the port of the rendezvous.
        type: int
        default: 600
      ready_timeout:
        description: Seconds from the start of the last rank until a completion must be answered.
        type: int
        default: 3600
      hang_timeout:
        description: Seconds without a completion and without a token after which the group is started anew. 0 is never.
        type: int
        default: 120
  group_key:
    description:
      - Key with which the supervisors sign what they say, the same on all ranks. The one that is there stays when not set.
    type: str
  api_key:
    description: Key of the endpoint, on the head.
    type: str
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
    group: "{{ group }}"
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
    What systemd says - unit, exists, active, sub, result, exit_status, pid, since (seconds since the epoch),
    invocation_id, and spec_hash of what runs; and enabled, whether the supervisor starts it after a boot.
  returned: always
  type: dict
log:
  description: The last lines that the engine wrote since the supervisor's last start.
  returned: O(log_lines) is not 0
  type: list
  elements: str
"""

import json
import shutil
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fullrank.serving.plugins.module_utils import group_program, systemd, units
from ansible_collections.fullrank.serving.plugins.module_utils.files import write

UNITS = Path("/etc/systemd/system")
CHECK = Path("/usr/local/bin/fullrank-check")
GROUP: dict[str, Any] = {
    "rank": {"type": "int", "required": True},
    "names": {"type": "list", "elements": "str", "required": True},
    "addresses": {"type": "list", "elements": "str", "required": True},
    "port": {"type": "int", "required": True},
    "spec": {"type": "str", "required": True},
    "url": {"type": "str", "required": True},
    "model": {"type": "str", "required": True},
    "requires": {"type": "list", "elements": "path", "default": []},
    "meet_timeout": {"type": "int", "default": 600},
    "ready_timeout": {"type": "int", "default": 3600},
    "hang_timeout": {"type": "int", "default": 120},
}


def wanted_files(given: dict[str, Any]) -> dict[Path, tuple[str, int, bool]]:
    """Path → (content, mode, secret?) of everything that makes up the engine of the rank on this node."""
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


def supervisor_files(given: dict[str, Any], key: str) -> dict[Path, tuple[str, int, bool]]:
    """The same for its supervisor. key: of the group."""
    name, launch, group = given["deployment"], given["launch"], given["group"]
    container = launch["container"]
    config = {
        "deployment": name,
        **group,
        "rendezvous_port": launch["rendezvous_port"],
        "probe": [launch["argv"][0], "image", "inspect", "--format", "ok", container["image"]] if container else [],
    }
    secret = {"group_key": key, "api_key": given["api_key"] or ""}
    unit = units.render_group_unit(
        deployment=name, description=given["description"], stop_timeout=given["stop_timeout"]
    )
    program = Path(units.group_program(name)) / units.GROUP_PACKAGE
    return {
        UNITS / units.group_unit_name(name): (unit, 0o644, False),
        Path(units.group_config(name)): (json.dumps(config, indent=1, sort_keys=True) + "\n", 0o644, False),
        Path(units.group_secret(name)): (json.dumps(secret) + "\n", 0o600, True),
        **{program / file: (text, 0o644, False) for file, text in group_program.sources().items()},
        CHECK: (group_program.check(), 0o755, False),
    }


def shared_key(deployment: str) -> str:
    """The key that this node's supervisor has already; empty when it has none."""
    content, _ = read(Path(units.group_secret(deployment)))
    return str(json.loads(content)["group_key"]) if content else ""


def read(path: Path) -> tuple[str, int]:
    """Content and mode of a file; empty and 0 when there is none."""
    try:
        return path.read_text(), path.stat().st_mode & 0o777
    except FileNotFoundError:
        return "", 0


def diff_of(path: Path, before: tuple[str, int], after: tuple[str, int], secret: bool) -> dict[str, str]:
    old, new = before[0], after[0]
    if secret:
        old, new = (text and f"({name} secret)\n" for name, text in (("the old", old), ("the new", new)))
    label = f"{path} (mode {after[1]:04o})"
    return {"before_header": label, "after_header": label, "before": old, "after": new}


class Rank:
    """The units of this node, and how to bring them into the wanted state."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.given: dict[str, Any] = module.params
        self.unit = units.unit_name(self.given["deployment"])
        self.group_unit = units.group_unit_name(self.given["deployment"])
        self.diff: list[dict[str, str]] = []
        self.changed = False

    def state(self) -> dict[str, Any]:
        state = systemd.state(self.module.run_command, self.unit)
        return state | {"enabled": self.supervisor()["enabled"]}

    def supervisor(self) -> dict[str, Any]:
        return systemd.state(self.module.run_command, self.group_unit)

    def log(self, since: int, lines: int) -> list[str]:
        """The engine's last lines since the supervisor's start, which may have started it more than once."""
        return systemd.log(self.module.run_command, self.unit, since, lines)

    def systemctl(self, *words: str) -> None:
        """A change: noted always, made unless in check mode."""
        self.changed = True
        if self.module.check_mode:
            return
        code, _, error = self.module.run_command(["systemctl", *words])
        if code:
            lines = systemd.log(self.module.run_command, self.group_unit, self.supervisor()["since"], 20)
            self.module.fail_json(msg=f"systemctl {' '.join(words)}: {error.strip()}", log=lines)

    def present(self) -> None:
        engine = self.write(wanted_files(self.given))
        key = self.given["group_key"] or shared_key(self.given["deployment"])
        supervisor = self.write(supervisor_files(self.given, key))
        if engine or supervisor:
            self.systemctl("daemon-reload")
        if supervisor and self.supervisor()["active"] == "active":
            self.systemctl("reload", self.group_unit)

    def write(self, files: dict[Path, tuple[str, int, bool]]) -> bool:
        """Bring the files to what they should be; whether anything differed."""
        differed = False
        for path, (content, mode, secret) in files.items():
            before = read(path)
            if before == (content, mode):
                continue
            differed = self.changed = True
            if group_program.is_ours(path):
                self.diff.append({"prepared": f"{path}: the supervisor's program, of another version"})
            else:
                self.diff.append(diff_of(path, before, (content, mode), secret))
            if not self.module.check_mode:
                write(path, content, mode)
        return differed

    def started(self) -> None:
        state = self.supervisor()
        if not state["exists"]:
            self.module.fail_json(msg=f"{self.group_unit} is not there: run site.yml, which writes it")
        if not state["enabled"]:
            self.systemctl("enable", "--quiet", self.group_unit)
        if state["active"] not in ("active", "activating", "reloading"):
            self.systemctl("start", self.group_unit)

    def stopped(self) -> None:
        state = self.supervisor()
        if state["enabled"]:
            self.systemctl("disable", "--quiet", self.group_unit)
        for unit in (self.group_unit, self.unit):
            if systemd.state(self.module.run_command, unit)["active"] not in ("inactive", "failed"):
                self.systemctl("stop", unit)
        if not self.module.check_mode and self.state()["active"] == "failed":
            # the supervisor kills; once the operator has stopped the rank that is no failure to be shown
            self.module.run_command(["systemctl", "reset-failed", self.unit], check_rc=True)

    def absent(self) -> None:
        self.stopped()
        deployment = self.given["deployment"]
        files = [UNITS / self.unit, UNITS / self.group_unit, *Path(units.CONFIG).glob(f"{deployment}.*")]
        if not [one for one in Path(units.CONFIG).glob("*.group.json") if one not in files]:
            files.append(CHECK)
        removed = False
        for path in files:
            if path.exists():
                removed = self.changed = True
                before = read(path)
                self.diff.append(diff_of(path, before, ("", before[1]), ".secret." in path.name))
                if not self.module.check_mode:
                    path.unlink()
        program = Path(units.group_program(deployment))
        if program.exists():
            self.changed = True
            self.diff.append({"prepared": f"{program}: removed"})
            if not self.module.check_mode:
                shutil.rmtree(program)
        if removed:
            self.systemctl("daemon-reload")


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "deployment": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "started", "stopped", "absent"], "default": "present"},
            "launch": {"type": "dict"},
            "group": {"type": "dict", "options": GROUP},
            "group_key": {"type": "str", "no_log": True},
            "api_key": {"type": "str", "no_log": True},
            "secret": {"type": "str", "no_log": True},
            "description": {"type": "str", "default": "a rank of fullrank"},
            "stop_timeout": {"type": "int", "default": 60},
            "dynamic_user": {"type": "bool", "default": False},
            "log_lines": {"type": "int", "default": 0},
        },
        required_if=[("state", "present", ["launch", "group"])],
        supports_check_mode=True,
    )
    given = module.params
    if given["state"] == "present" and given["launch"]["secret_file"] and not given["secret"]:
        module.fail_json(msg="the launch has a secret file: give its content with 'secret'")
    rank = Rank(module)
    # asked before: systemd forgets a unit that is disabled and stopped
    since = rank.supervisor()["since"] if given["log_lines"] else 0
    getattr(rank, given["state"])()
    state = rank.state()
    result: dict[str, Any] = {"rank_state": state}
    if given["state"] == "present":
        result["current"] = (
            state["active"] == "active"
            and state["spec_hash"] == given["launch"]["spec_hash"]
            and rank.supervisor()["active"] == "active"
            and state["enabled"]
        )
    if given["log_lines"]:
        result["log"] = rank.log(since or rank.supervisor()["since"], given["log_lines"])
    if module._diff:
        result["diff"] = rank.diff
    module.exit_json(changed=rank.changed, **result)


if __name__ == "__main__":
    main()
