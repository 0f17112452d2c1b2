#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One rank of a deployment on this node: its files, its systemd unit, its state."""

from __future__ import annotations

DOCUMENTATION = r"""
module: rank
version_added: 0.1.0
short_description: Manage one rank of a deployment as systemd units, its engine and its supervisor
description:
  - Writes the launch of a rank, as M(fullrank.serving.engine_command) renders it, into C(fullrank-rank@DEPLOYMENT.service). The
    command of this unit is the engine in the foreground; logs are in the journal.
  - Writes the rank's supervisor, C(fullrank-supervisor@DEPLOYMENT.service), and starts, stops or removes it. The supervisors of
    all ranks start the engines together, the head first, and again when one of them is lost.
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
        The launch that it replaces is kept, in a file of mode 0600, when the deployment was ready with it.
      - V(rolled_back) writes that launch again; it fails, having touched nothing, where there is none that could be started.
      - V(started) starts the supervisor, now and after each boot. The engine starts when all ranks of the group are there.
      - V(stopped) stops the supervisor, and with it the engine, until it is started again, over a reboot too.
      - V(absent) stops it and removes what V(present) wrote.
    type: str
    choices: [present, rolled_back, started, stopped, absent]
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
      listen:
        description: Address of C(/ready); that of the endpoint on a rank that serves, and that of the rendezvous when empty.
        type: str
        default: ""
      serves:
        description:
          - Whether a rank other than the head serves too. Its supervisor asks its endpoint, and the group is ready when each of
            them answers. The head serves in any case.
        type: bool
        default: false
      spec:
        description: The same text on all ranks that were rendered together, another one for any other launch.
        type: str
        required: true
      url:
        description: Endpoint of this rank as it reaches it itself, without C(/v1); on a rank without one that of the head.
        type: str
        required: true
      certificate:
        description: PEM file on the node with the certificate that O(group.url) must show; empty for plain HTTP.
        type: str
        default: ""
      model:
        description: Name of the model as the endpoint serves it.
        type: str
        required: true
      task:
        description: What the model is served for, as M(fullrank.serving.rank_info) documents it.
        type: str
        choices: [generate, embed, score, classify, transcribe, pool, half]
        default: generate
      engine:
        description: Name of the engine, by which some paths differ.
        type: str
        default: ""
      requires:
        description: Paths without which the engine is not started, e.g. the weights.
        type: list
        elements: path
        default: []
      meet_timeout:
        description: >-
          Seconds until the head must listen on the port of RV(fullrank.serving.engine_command#module:launch.start_order), where
          it has one and the endpoint does not answer yet.
        type: int
        default: 600
      ready_timeout:
        description: Seconds from the start of the last rank until the model must answer.
        type: int
        default: 3600
      hang_timeout:
        description: Seconds without an answer and without a sign of work after which the group is started again. 0 is never.
        type: int
        default: 120
  group_key:
    description: Key with which the supervisors sign, the same on all ranks. The one that is there stays when not set.
    type: str
  api_key:
    description: Key of the endpoint, on ranks that serve.
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
  undo:
    description: With O(state=rolled_back), forget the launch that ends. The previous launch is then the one before it.
    type: bool
    default: false
  log_lines:
    description: How many of the last lines of the rank's journal to return.
    type: int
    default: 0
attributes:
  check_mode:
    description: Shows what would change.
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

- name: Start the rank
  fullrank.serving.rank:
    deployment: deepseek_r1
    state: started
  when: not written.current
"""

RETURN = r"""
current:
  description: Whether the rank runs, and was started from the launch that is now written.
  returned: O(state=present) and O(state=rolled_back)
  type: bool
launch:
  description: >-
    What is now written - C(spec_hash); C(spec), the same on all ranks rendered together; C(before) or, again, C(engine).
  returned: O(state=present) and O(state=rolled_back)
  type: dict
rank_state:
  description: >-
    The state in systemd - unit, exists, active, sub, result, exit_status, pid, since (seconds since the epoch),
    invocation_id, and spec_hash of what runs; and enabled, whether the supervisor starts it after a boot.
  returned: always
  type: dict
log:
  description: The last lines that the engine wrote since the supervisor's last start.
  returned: O(log_lines) is not 0
  type: list
  elements: str
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fullrank.serving.plugins.module_utils.common import changes
from ansible_collections.fullrank.serving.plugins.module_utils.common import files as common_files
from ansible_collections.fullrank.serving.plugins.module_utils.rank import containers, units
from ansible_collections.fullrank.serving.plugins.module_utils.rank.former import Former
from ansible_collections.fullrank.serving.plugins.module_utils.rank.unit_state import UnitState
from ansible_collections.fullrank.serving.plugins.module_utils.supervisor import check, engine, previous
from ansible_collections.fullrank.serving.plugins.module_utils.supervisor import files as supervisor_files
from ansible_collections.fullrank.serving.plugins.module_utils.systemd import names
from ansible_collections.fullrank.serving.plugins.module_utils.systemd import state as systemd_state


class Rank:
    """The units of this node, and how to bring them into the wanted state."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.params: dict[str, Any] = module.params
        self.name: str = self.params["deployment"]
        self.unit = names.rank_unit(self.name)
        self.supervisor_unit = names.supervisor_unit(self.name)
        self.former = Former(self.name, module.run_command)
        self.seen = UnitState(self.name, module.run_command, self.former)
        self.previous = Path(names.previous_launch(self.name))
        self.files = changes.Changes(module.check_mode)
        self.changed = False
        self.launch: dict[str, Any] = {}

    def systemctl(self, *words: str) -> None:
        """A change: noted always, made unless in check mode."""
        self.changed = True
        if self.module.check_mode:
            return
        code, _unused, error = self.module.run_command(["systemctl", *words])
        if code:
            lines = systemd_state.log(
                self.module.run_command, self.supervisor_unit, self.seen.supervisor()["since"], 20
            )
            self.module.fail_json(msg=f"systemctl {' '.join(words)}: {error.strip()}", log=lines)

    def written(self) -> list[Path]:
        """Every file of the rank that the last run wrote, but the supervisor's program."""
        config, _unused = changes.read(Path(names.supervisor_config(self.name)))
        return supervisor_files.own_files(self.name, config)

    def present(self) -> None:
        launch = self.params["launch"]
        gone = [f"{one['path']} ({one['where']})" for one in launch.get("reads", []) if not Path(one["path"]).exists()]
        if gone:
            why = f"the engine's options name what is not on this node, and nothing was written: {', '.join(gone)}"
            self.module.fail_json(msg=why)
        taken_over = self.former.there
        before, _unused = changes.read(supervisor_files.UNITS / (self.former.unit if taken_over else self.unit))
        self.launch = {"spec_hash": launch["spec_hash"], "spec": self.params["group"]["spec"]}
        self.launch["before"] = units.engine_of(before)
        old_hash = "" if taken_over else supervisor_files.spec_hash(before)
        if text := previous.to_keep(self.name, self.written(), old_hash, launch["spec_hash"]):
            self.files.write(self.previous, text, 0o600, f"{self.previous}: the target of playbooks/rollback.yml\n")
        key = self.params["group_key"] or supervisor_files.group_key(self.name)
        self.bring(
            supervisor_files.engine_files(self.params, key) | supervisor_files.supervisor_files(self.params, key)
        )

    def rolled_back(self) -> None:
        """Back to the previous launch; nothing is touched where that could not be started."""
        text, _unused = changes.read(self.previous)
        if not text:
            self.module.fail_json(
                msg=f"no earlier launch of {self.name} is kept on this node: one is, once a launch that was ready is replaced"
            )
        files, config = previous.unpack(text)
        unit = files[supervisor_files.UNITS / self.unit][0]
        self.launch = {"spec_hash": supervisor_files.spec_hash(unit), "spec": config["spec"]}
        self.launch["engine"] = units.engine_of(unit)
        if lacks := engine.lacks(config["requires"], config["probe"]):
            self.module.fail_json(msg=f"the earlier launch of {self.name} cannot be started: {lacks}")
        self.bring(files)
        if self.params["undo"] and (before := previous.before(text)):
            self.files.write(self.previous, before, 0o600, f"{self.previous}: the previous launch from before\n")
        elif self.params["undo"]:
            self.files.remove([self.previous], Path(names.CONFIG))

    def bring(self, files: supervisor_files.Files) -> None:
        """These files and none of an earlier launch; a supervisor that runs reads them."""
        taken_over = self.former.there
        if taken_over and not self.module.check_mode:
            self.former.park()
        touched = self.files.remove([path for path in self.written() if path not in files], Path(names.CONFIG))
        for path, (content, mode, secret) in files.items():
            news = "of another version" if path.exists() else "new"
            shown = f"{path}: the supervisor's program, {news}\n" * supervisor_files.is_program(path)
            if self.files.write(path, content, mode, shown, secret=secret):
                touched.append(path)
        program = Path(names.supervisor_program(self.name))
        if any(program in path.parents for path in files):  # a launch that is written again has none
            touched += self.files.remove([path for path in program.rglob("*.py") if path not in files], program)
        if touched:
            self.systemctl("daemon-reload")
        read_by_it = [path for path in touched if supervisor_files.is_of_supervisor(self.name, path)]
        if read_by_it and self.seen.supervisor()["active"] == "active":
            self.systemctl("reload", self.supervisor_unit)
        if taken_over and not self.module.check_mode and self.former.end_supervisor():
            self.started()
        if self.former.forget(self.files, files):
            self.systemctl("daemon-reload")

    def started(self) -> None:
        state = self.seen.supervisor()
        if not state["exists"] and not self.module.check_mode:
            self.module.fail_json(msg=f"{self.supervisor_unit} is not there: run site.yml, which writes it")
        if not self.module.check_mode:
            Path(names.drain_mark(self.name)).unlink(missing_ok=True)
        if not state["enabled"]:
            self.systemctl("enable", "--quiet", self.supervisor_unit)
        if state["active"] not in ("active", "activating", "reloading"):
            self.systemctl("start", self.supervisor_unit)

    def stopped(self) -> None:
        state = self.seen.supervisor()
        if state["enabled"]:
            self.systemctl("disable", "--quiet", self.supervisor_unit)
        if self.former.there and systemd_state.state(self.module.run_command, self.former.supervisor)["enabled"]:
            self.systemctl("disable", "--quiet", self.former.supervisor)
        for unit in (self.supervisor_unit, self.unit, *self.former.units()):
            if systemd_state.state(self.module.run_command, unit)["active"] not in ("inactive", "failed"):
                self.systemctl("stop", unit)
                self.remove_containers()
        if not self.module.check_mode and self.seen.rank()["active"] == "failed":
            # The supervisor kills; once the operator has stopped the rank that is no failure to be shown. Systemd may have
            # forgotten the unit meanwhile.
            self.module.run_command(["systemctl", "reset-failed", systemd_state.rank_unit(self.name)])

    def remove_containers(self) -> None:
        """The unit on disk may be of another runtime than what ran, and then has stopped nothing."""
        if self.module.check_mode:
            return
        there = (names.rank_container(self.name), self.former.container)
        if error := containers.remove_all(self.module.run_command, self.module.get_bin_path, there):
            self.module.fail_json(msg=error)

    def absent(self) -> None:
        self.stopped()
        memory = check.RUN / f"{self.name}.epoch"
        files = [*self.written(), self.previous, Path(names.ready_mark(self.name)), memory]
        if not [one for one in Path(names.CONFIG).glob("*.supervisor.json") if one not in files]:
            files.append(supervisor_files.CHECK)
        removed = self.files.remove(files, Path(names.CONFIG))
        removed += self.former.forget(self.files, ())
        program = Path(names.supervisor_program(self.name))
        self.files.remove_folder(program)
        if not self.module.check_mode:
            common_files.remove_empty(str(program.parent), names.PROGRAMS, names.CONFIG)
        if removed:
            self.systemctl("daemon-reload")


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "deployment": {"type": "str", "required": True},
            "state": {
                "type": "str",
                "default": "present",
                "choices": ["present", "rolled_back", "started", "stopped", "absent"],
            },
            "launch": {"type": "dict"},
            "group": {"type": "dict", "options": supervisor_files.GROUP_OPTIONS},
            "group_key": {"type": "str", "no_log": True},
            "api_key": {"type": "str", "no_log": True},
            "secret": {"type": "str", "no_log": True},
            "description": {"type": "str", "default": "a rank of fullrank"},
            "stop_timeout": {"type": "int", "default": 60},
            "dynamic_user": {"type": "bool", "default": False},
            "undo": {"type": "bool", "default": False},
            "log_lines": {"type": "int", "default": 0},
        },
        required_if=[("state", "present", ["launch", "group"])],
        supports_check_mode=True,
    )
    params = module.params
    if params["state"] == "present" and params["launch"]["secret_file"] and not params["secret"]:
        module.fail_json(msg="the launch has a secret file: give its content with 'secret'")
    rank = Rank(module)
    # read before: systemd forgets a unit that is disabled and stopped
    since = rank.seen.supervisor()["since"] if params["log_lines"] else 0
    getattr(rank, params["state"])()
    result: dict[str, Any] = {"rank_state": rank.seen.rank()}
    if rank.launch:
        result["launch"] = rank.launch
        result["current"] = rank.seen.is_current(rank.launch["spec_hash"])
    if params["log_lines"]:
        # the supervisor may have started the engine more than once
        since = since or rank.seen.supervisor()["since"]
        unit = systemd_state.rank_unit(rank.name)
        result["log"] = systemd_state.log(module.run_command, unit, since, params["log_lines"])
    if module._diff:
        result["diff"] = rank.files.diff
    module.exit_json(changed=rank.changed or rank.files.changed, **result)


if __name__ == "__main__":
    main()
