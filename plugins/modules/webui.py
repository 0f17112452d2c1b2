#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Open WebUI as a service that is healthy, or as it was before."""

from __future__ import annotations

DOCUMENTATION = r"""
module: webui
version_added: 0.1.0
short_description: Open WebUI as a service, with its data
description:
  - Writes the unit and the file of secrets, starts the service when anything differs from what runs, and waits until it is
    healthy. When it does not get well, what was there before is put back and started again.
  - Before a version runs on data of another one the service is stopped and the data is copied. When the new version does not get
    well, the copy comes back together with the old version.
  - The first start listens on the machine's own loopback until the administrator has logged in with O(secrets); only then the
    service is started where others can reach it.
  - Makes the key that signs sessions (C(WEBUI_SECRET_KEY)), once, on the node, in C(/etc/fullrank/webui.key).
options:
  state:
    description: V(absent) stops the service and removes what was written for it. The data, its backups and the key stay.
    type: str
    choices: [present, absent]
    default: present
  version:
    description: Exact version of Open WebUI, as three numbers.
    type: str
  runtime:
    description: What runs it.
    type: str
    choices: [process, docker, podman]
    default: process
  program:
    description: The command C(open-webui) of a virtual environment, for O(runtime=process).
    type: path
  image:
    description: The image, for a container.
    type: str
  container_args:
    description: Further words for the container runtime.
    type: list
    elements: str
    default: []
  data:
    description: Folder of the data.
    type: path
  backups:
    description: Folder of the backups.
    type: path
  keep_backups:
    description: How many of them stay.
    type: int
    default: 3
  host:
    description: Address to listen on.
    type: str
    default: 127.0.0.1
  port:
    description: Port to listen on.
    type: int
    default: 8080
  env:
    description: Environment variables that are not secret.
    type: dict
    default: {}
  secrets:
    description:
      - Environment variables that are. C(WEBUI_ADMIN_EMAIL) and C(WEBUI_ADMIN_PASSWORD) make the administrator; C(DATABASE_URL)
        is the database where it is not SQLite.
    type: dict
    default: {}
  start_timeout:
    description: Seconds until it must be healthy.
    type: int
    default: 300
attributes:
  check_mode:
    description: Returns what would be done, and sends the service no request.
    support: full
  diff_mode:
    description: Shows the unit. Of secrets it shows whether they changed.
    support: full
requirements:
  - systemd, the account C(fullrank-webui); for PostgreSQL its client programs
author:
  - The fullrank authors (@fullrank)
"""

EXAMPLES = r"""
- name: Run it
  fullrank.serving.webui:
    version: 0.12.4
    program: /opt/fullrank-webui/0.12.4/bin/open-webui
    data: /var/lib/fullrank-webui
    backups: /var/lib/fullrank-webui.backups
    env: {OPENAI_API_BASE_URLS: "http://gpu1:8000/v1"}
    secrets:
      OPENAI_API_KEYS: "{{ vault_key }}"
      WEBUI_ADMIN_EMAIL: admin@example.com
      WEBUI_ADMIN_PASSWORD: "{{ vault_password }}"
"""

RETURN = r"""
backup:
  description: The backup that was made before an upgrade.
  returned: one was made
  type: str
upgraded_from:
  description: The version that used the data before.
  returned: always, empty when it is the same
  type: str
"""

import contextlib
import json
import pwd
import secrets as random
import shutil
import socket
import time
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fullrank.serving.plugins.module_utils.common import files as common_files
from ansible_collections.fullrank.serving.plugins.module_utils.common.host_port import host_port, on_this_machine
from ansible_collections.fullrank.serving.plugins.module_utils.common.versions import numbers
from ansible_collections.fullrank.serving.plugins.module_utils.systemd import service
from ansible_collections.fullrank.serving.plugins.module_utils.webui import backup as webui_backup
from ansible_collections.fullrank.serving.plugins.module_utils.webui import client
from ansible_collections.fullrank.serving.plugins.module_utils.webui import unit as webui_unit

LOOPBACK = "127.0.0.1"
MARKER = ".fullrank.json"  # in the data: which version used it last
PENDING = "pending.json"  # among the backups: an upgrade that is not finished
LOG_LINES = 30


class Webui:
    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.params = module.params
        self.data, self.backups = Path(self.params["data"]), Path(self.params["backups"])
        self.known: dict[str, Any] = _json(self.data / MARKER)
        self.database = str(self.params["secrets"].get("DATABASE_URL", ""))
        self.fresh = not self.known
        self.pending: dict[str, Any] = _json(self.backups / PENDING)
        self.key = service.read(webui_unit.KEY)
        self.new_key = None if self.key else service.File(webui_unit.KEY, random.token_urlsafe(48), 0o600, secret=True)
        self.service = self.service_at(self.params["host"])
        self.result: dict[str, Any] = {"upgraded_from": self.upgraded_from()}

    def service_at(self, host: str) -> service.Service:
        """The service as wanted, listening on ``host``."""
        params = self.params
        uid, gid = self.account()
        values = {name: str(value) for name, value in params["secrets"].items()}
        values["WEBUI_SECRET_KEY"] = (self.key or self.new_key).content.strip()  # type: ignore[union-attr]
        runtime = params["runtime"]
        if runtime != "process":
            runtime = self.module.get_bin_path(runtime) or f"/usr/bin/{runtime}"
        try:
            hidden = webui_unit.secret_file(values)
        except ValueError as error:
            self.module.fail_json(msg=f"webui secrets: {error}")
        unit = webui_unit.render(
            webui_unit.Spec(
                version=params["version"],
                runtime=runtime,
                data=str(self.data),
                host=host,
                port=params["port"],
                program=params["program"] or "",
                image=params["image"] or "",
                account=f"{uid}:{gid}",
                container_args=params["container_args"],
                env={name: str(value) for name, value in params["env"].items()},
            ),
            hidden,
        )
        # a container runs as the account and reads the file itself; for a process systemd does
        owner = (uid, gid) if params["runtime"] != "process" else (0, 0)
        files = [
            service.File(webui_unit.SECRETS, hidden, 0o600, owner, secret=True),
            service.File(webui_unit.UNIT, unit),
        ]
        return service.Service(self.module.run_command, f"{webui_unit.NAME}.service", files, _hash_in(unit))

    def account(self) -> tuple[int, int]:
        try:
            entry = pwd.getpwnam(webui_unit.NAME)
        except KeyError:
            if not self.module.check_mode:
                self.module.fail_json(msg=f"there is no account {webui_unit.NAME}")
            return 0, 0
        return entry.pw_uid, entry.pw_gid

    def upgraded_from(self) -> str:
        """The version whose data this is, when it is another one; of data from elsewhere it is not known."""
        if self.fresh:
            return "unknown" if (self.data / "webui.db").exists() else ""
        return str(self.known["version"]) if self.known["version"] != self.params["version"] else ""

    def refuse(self) -> None:
        """What cannot be, before anything changes."""
        version, before = self.params["version"], self.known.get("version", "")
        if before and numbers(version) < numbers(before):
            self.module.fail_json(
                msg=f"Open WebUI {before} used {self.data}, and {version} is older: its database cannot go back. Keep "
                f"webui_version: {before}, or bring back a backup from {self.backups} first"
            )
        kind = _kind(self.database)
        if self.known and self.known["database"] != kind:
            self.module.fail_json(
                msg=f"the chats of {self.data} are in {self.known['database']}, and Open WebUI does not move them into "
                f"{kind}. Move them yourself, then remove {self.data / MARKER} and run again"
            )
        if self.result["upgraded_from"] and (full := webui_backup.room(self.data, self.backups)):
            self.module.fail_json(msg=f"{full}: make room, or choose another webui_backup_dir")
        port, old = self.params["port"], self.service.before[webui_unit.UNIT]
        ours = self.service.state_before["active"] == "active" and old is not None and f"{port}" in old.content
        if ours:
            return
        with contextlib.suppress(OSError), socket.create_connection((on_this_machine(self.params["host"]), port), 2):
            self.module.fail_json(msg=f"another program listens on port {port}: choose another webui_port")

    def present(self) -> None:
        if self.service.current() and not self.result["upgraded_from"]:
            self.module.exit_json(changed=False, **self.result)
        self.refuse()
        self.result["diff"] = [
            *([service.diff(None, self.new_key)] if self.new_key else []),
            *self.service.differences(),
            {"prepared": "the service is restarted\n"},
        ]
        if self.module.check_mode:
            self.module.exit_json(changed=True, **self.result)
        if self.new_key:
            service.write(self.new_key)
        if not self.data.exists():
            self.data.mkdir(parents=True, mode=0o700)
            shutil.chown(self.data, *self.account())
        backup = self.backup() if self.result["upgraded_from"] else None
        # with users in it, the data lets no visitor become administrator
        where = LOOPBACK if self.fresh else self.params["host"]
        if self.pending and not backup:  # an upgrade was interrupted and is not wanted any more
            self.service.stop()
            webui_backup.restore(self.module.run_command, Path(self.pending["backup"]), self.data, self.database)
        why = self.start(where)
        if not why and where != self.params["host"]:
            why = self.start(self.params["host"])
        if why:
            self.fail(why, backup)
        (self.data / MARKER).write_text(
            json.dumps({"version": self.params["version"], "database": _kind(self.database)})
        )
        (self.backups / PENDING).unlink(missing_ok=True)
        webui_backup.prune(self.backups, self.params["keep_backups"])
        self.module.exit_json(changed=True, **self.result)

    def backup(self) -> Path:
        """Stop the service and copy its data; an upgrade that was interrupted has its copy already, made before it began."""
        self.service.stop()
        if self.pending:
            folder = Path(self.pending["backup"])
        else:
            folder = self.backups / f"{time.strftime('%Y%m%dT%H%M%S')}-{self.result['upgraded_from']}"
            self.backups.mkdir(parents=True, exist_ok=True, mode=0o700)
            about = {"version": self.result["upgraded_from"], "database": _kind(self.database)}
            try:
                webui_backup.save(self.module.run_command, self.data, folder, self.database, about)
            except RuntimeError as error:
                self.service.back()
                self.again()
                self.module.fail_json(msg=f"no upgrade without a backup: {error}")
            for file in self.service.before.values():
                if file is not None:
                    service.write(service.File(str(folder / Path(file.path).name), file.content, file.mode))
            common_files.write(self.backups / PENDING, json.dumps({"backup": str(folder)}), 0o644)
        self.result["backup"] = str(folder)
        return folder

    def start(self, host: str) -> str:
        """Start it, listening on ``host``: what is wrong, or nothing."""
        files = self.service_at(host).files
        url = f"http://{host_port(on_this_machine(host), self.params['port'])}"
        why = self.service.start(files, lambda: client.unhealthy(url), self.params["start_timeout"])
        return why or (self.admin(url) if self.fresh and host == LOOPBACK else "")

    def admin(self, url: str) -> str:
        """Whether the administrator can log in where no other client could before."""
        values = self.params["secrets"]
        status = client.log_in(url, values.get("WEBUI_ADMIN_EMAIL", ""), values.get("WEBUI_ADMIN_PASSWORD", ""))
        if status == 200:
            return ""
        if self.database or self.result["upgraded_from"]:  # it may have users of its own
            self.module.warn("the data has users already: the administrator of this inventory was not made")
            return ""
        return f"the administrator cannot log in (HTTP {status})"

    def again(self) -> str:
        """Start what ran before, if anything did, and wait until people can use it."""
        if self.service.state_before["active"] != "active" and not self.pending:
            return "Nothing ran before"
        self.service.systemctl("start", self.service.unit)
        before = self.service.before[webui_unit.UNIT]
        address = webui_unit.listening(before.content) if before else None
        url = f"http://{host_port(on_this_machine(address[0]), address[1])}" if address else ""
        why = self.service.wait(lambda: client.unhealthy(url) if url else "", self.params["start_timeout"])
        return f"What ran before was started again{', but ' + why if why else ' and answers'}"

    def fail(self, why: str, backup: Path | None) -> None:
        """Restore what was there, and fail with what happened."""
        log = self.service.log(LOG_LINES)
        for path in list(self.service.before):
            if backup and (saved := service.read(str(backup / Path(path).name))):
                before = self.service.before[path]
                owner = before.owner if before else (0, 0)
                self.service.before[path] = service.File(path, saved.content, saved.mode, owner)
        self.service.back()
        state = ""
        if backup:
            webui_backup.restore(self.module.run_command, backup, self.data, self.database)
            (self.backups / PENDING).unlink(missing_ok=True)
            state = f"The data is as it was before ({backup} stays). "
        state += self.again()
        self.module.fail_json(
            msg=f"Open WebUI {self.params['version']}: {why}. {state}. Its log ends with:\n" + "\n".join(log),
            **self.result,
        )

    def absent(self) -> None:
        there = [file for file in self.service.before.values() if file is not None]
        changed = bool(there) or self.service.state_before["active"] == "active"
        hidden = [service.File(one.path, "", one.mode, secret=one.path == webui_unit.SECRETS) for one in there]
        diffs = [service.diff(one, None) for one in hidden]
        if changed and not self.module.check_mode:
            self.service.remove()
        self.module.exit_json(changed=changed, diff=diffs, upgraded_from="")


def _json(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text()))
    except (FileNotFoundError, NotADirectoryError):
        return {}


def _kind(database_url: str) -> str:
    return "PostgreSQL" if database_url else "SQLite"


def _hash_in(unit: str) -> str:
    return unit.partition(f"{webui_unit.SPEC_HASH_VARIABLE}=")[2].partition("\n")[0]


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "version": {"type": "str"},
            "runtime": {"type": "str", "choices": ["process", "docker", "podman"], "default": "process"},
            "program": {"type": "path"},
            "image": {"type": "str"},
            "container_args": {"type": "list", "elements": "str", "default": []},
            "data": {"type": "path"},
            "backups": {"type": "path"},
            "keep_backups": {"type": "int", "default": 3},
            "host": {"type": "str", "default": LOOPBACK},
            "port": {"type": "int", "default": 8080},
            "env": {"type": "dict", "default": {}},
            "secrets": {"type": "dict", "default": {}, "no_log": True},
            "start_timeout": {"type": "int", "default": 300},
        },
        required_if=[("state", "present", ["version", "data", "backups"])],
        supports_check_mode=True,
    )
    module.params["version"] = module.params["version"] or "0"
    for folder in ("data", "backups"):
        module.params[folder] = module.params[folder] or "/nonexistent"
    keys = str(module.params["secrets"].get("OPENAI_API_KEYS", ""))
    module.no_log_values.update(key for key in keys.split(";") if key)
    getattr(Webui(module), module.params["state"])()


if __name__ == "__main__":
    main()
