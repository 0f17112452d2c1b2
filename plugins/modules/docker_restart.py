#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Docker restarted when it must be, and not under a running engine."""

from __future__ import annotations

DOCUMENTATION = r"""
module: docker_restart
version_added: 0.1.0
short_description: Restart docker when it was started with another configuration, and not under a running engine
description:
  - Starts docker where it does not run. Restarts it where C(daemon.json), its unit, drop-ins or environment files are not those
    that it was started with; otherwise does nothing.
  - Their contents are remembered in C(/var/lib/fullrank/docker/started.json), so that a file that was only touched, or changed
    and changed back, needs no restart. For a docker that this module did not start, the modification times of the files decide.
  - Does not restart it while ranks run in docker, or containers that nothing would bring back (no restart policy, and no
    C(live-restore)), unless O(restart_ok). RV(restart_required) is then true.
  - When docker does not come up with a changed C(daemon.json), the file with which it ran before is put back, the new one is
    kept as C(daemon.json.failed), docker is started again, and the module fails with docker's output.
options:
  restart_ok:
    description: Restart even under ranks and containers that end by it.
    type: bool
    default: false
attributes:
  check_mode:
    description: Returns whether it would restart.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
  idempotent:
    description: A docker that was started with what is written is left alone.
    support: full
author:
  - The fullrank authors (@fullrank)
"""

EXAMPLES = r"""
- name: Let docker take over its configuration
  fullrank.serving.docker_restart:
    restart_ok: "{{ docker_restart_ok }}"
  register: restarted
"""

RETURN = r"""
restart_required:
  description: Whether docker must still be restarted.
  returned: success
  type: bool
reasons:
  description: The files that docker was not started with.
  returned: success
  type: list
  elements: str
harmed:
  description: The ranks and containers that a restart would end.
  returned: success
  type: list
  elements: str
"""

import hashlib
import json
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fullrank.serving.plugins.module_utils.common.files import write
from ansible_collections.fullrank.serving.plugins.module_utils.docker import containers as docker_containers
from ansible_collections.fullrank.serving.plugins.module_utils.docker import daemon
from ansible_collections.fullrank.serving.plugins.module_utils.docker.daemon import DAEMON_JSON, STATE
from ansible_collections.fullrank.serving.plugins.module_utils.systemd.unit_text import parse_show

MEMORY = STATE / "started.json"


class Restart:
    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.run = module.run_command
        self.started = daemon.started(self.run)

    def contents(self) -> dict[str, str]:
        """The files that docker is started with → a hash of what they hold."""
        files = [Path(DAEMON_JSON), *map(Path, daemon.unit_flags(self.run)[0])]
        return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in files if file.exists()}

    def start(self) -> str:
        """This very start of docker: systemd's name for it."""
        _unused, output, _unused = self.run(
            ["systemctl", "show", "--property=InvocationID", "docker.service"], check_rc=True
        )
        return parse_show(output).get("InvocationID", "")

    def remember(self, files: dict[str, str]) -> None:
        text = json.dumps({"start": self.start(), "files": files}, indent=1) + "\n"
        if not MEMORY.exists() or MEMORY.read_text() != text:
            write(MEMORY, text, 0o600)

    def reasons(self) -> list[str]:
        """Files that are not those that docker was started with."""
        known = json.loads(MEMORY.read_text()) if MEMORY.exists() else {}
        if known.get("start") == self.start():
            now, then = self.contents(), known["files"]
            found = [file for file in {**then, **now} if now.get(file) != then.get(file)]
        else:
            found = self.newer()
        _unused, output, _unused = self.run(
            ["systemctl", "show", "--property=NeedDaemonReload", "docker.service"], check_rc=True
        )
        return found + ["docker.service"] * (parse_show(output).get("NeedDaemonReload") == "yes" and not found)

    def newer(self) -> list[str]:
        """What was written after docker's process started; a file that is gone counts as written when its folder was not."""
        found = [file for file in self.contents() if Path(file).stat().st_mtime > self.started]
        if not Path(DAEMON_JSON).exists() and self.backups():
            found.append(DAEMON_JSON)
        return found

    def backups(self) -> list[Path]:
        """Copies of daemon.json made since docker started, the first of them is what it started with."""
        copies = Path(DAEMON_JSON).parent.glob(f"{Path(DAEMON_JSON).name}.*~")
        return sorted(
            (one for one in copies if one.stat().st_ctime > self.started), key=lambda one: one.stat().st_ctime
        )

    def harmed(self) -> list[str]:
        containers = daemon.containers(self.run)
        live = daemon.info(self.run).get("LiveRestoreEnabled")
        engines = docker_containers.engines(containers, daemon.engine_units(self.run))
        return docker_containers.together(engines, [] if live else docker_containers.stay_down(containers))

    def restart(self, reasons: list[str]) -> None:
        before = self.backups()
        new = DAEMON_JSON in reasons and Path(DAEMON_JSON).exists()
        self.run(["systemctl", "daemon-reload"], check_rc=True)
        files = self.contents()
        output = self.bring_up()
        if not output:
            self.remember(files)
            return
        if not before and not new:
            self.module.fail_json(msg=f"docker does not start: {output}")
        aside = Path(f"{DAEMON_JSON}.failed")
        if new:
            Path(DAEMON_JSON).replace(aside)
        if before:
            write(Path(DAEMON_JSON), before[0].read_text(), before[0].stat().st_mode & 0o777)
        files = self.contents()
        again = self.bring_up()
        if not again:
            self.remember(files)
        state = (
            f"and does not with the file of before either: {again}"
            if again
            else "it runs again with the file of before"
        )
        self.module.fail_json(
            msg=f"docker does not start with the new {DAEMON_JSON}, which is kept as {aside}; {state}\n{output}",
            rolled_back=not again,
        )

    def bring_up(self) -> str:
        """Restart the unit; empty when it runs, else docker's output."""
        self.run(["systemctl", "reset-failed", "docker.service", "docker.socket"])
        code, _unused, error = self.run(["systemctl", "restart", "docker.service"])
        if not code:
            return ""
        journal = ["journalctl", "--unit=docker.service", "--lines=8", "--output=cat", "--no-pager", "--quiet"]
        return self.run(journal)[1].strip() or str(error).strip()


def main() -> None:
    module = AnsibleModule(
        argument_spec={"restart_ok": {"type": "bool", "default": False}},
        supports_check_mode=True,
    )
    restart = Restart(module)
    reasons = restart.reasons() if restart.started else ["docker does not run"]
    harmed = restart.harmed() if restart.started else []
    allowed = bool(reasons) and (not harmed or module.params["restart_ok"])
    if allowed and not module.check_mode:
        restart.restart(reasons)
    elif not reasons and not module.check_mode:
        restart.remember(restart.contents())
    module.exit_json(changed=allowed, restart_required=bool(reasons) and not allowed, reasons=reasons, harmed=harmed)


if __name__ == "__main__":
    main()
