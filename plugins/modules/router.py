#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The routers of this node: their files, their systemd units, their state."""

from __future__ import annotations

DOCUMENTATION = r"""
module: router
version_added: 0.1.0
short_description: Manage the routers of a node, one systemd unit for each deployment
description:
  - Writes C(fullrank-router@NAME.service), an HAProxy of its own with its configuration in C(/etc/fullrank/router), and where smg
    chooses the replica C(fullrank-smg@NAME.service). The HAProxy of the distribution and its configuration are not touched.
  - What changes is taken over without an end to the requests that are being answered.
options:
  state:
    description:
      - V(present) makes O(routes) what this node routes; a router of ours that is not among them is removed. It fails, with all
        findings, before anything changes where something stands in the way.
      - V(absent) removes all of them, or those of O(deployments), but not the packages.
    type: str
    choices: [present, absent]
    default: present
  deployments:
    description: Those whose routers are removed, for O(state=absent). All when not set.
    type: list
    elements: str
  routes:
    description: RV(fullrank.serving.routes#module:routes).
    type: list
    elements: dict
    default: []
  keys:
    description:
      - What the lookup P(fullrank.serving.router_keys#lookup) returns for them. They are in files that root and the routers alone
        may read, those of clients as hashes.
    type: list
    elements: dict
    default: []
    suboptions:
      deployment:
        description: Name of the route.
        type: str
        required: true
      name:
        description: Name of the key.
        type: str
        required: true
      sha256:
        description: Its hash, 64 hexadecimal digits.
        type: str
        required: true
      key:
        description: The key itself, of the engine's own alone.
        type: str
  timeout:
    description: Seconds in which a router must have taken over its configuration.
    type: int
    default: 30
attributes:
  check_mode:
    description: Reports what would change, and what stands in the way.
    support: full
  diff_mode:
    description: Shows the files, but for those with keys and certificates.
    support: full
  idempotent:
    description: A second call with the same routes changes nothing.
    support: full
requirements:
  - systemd 248 or newer
  - HAProxy 2.4 or newer with Lua and OpenSSL, and smg where a route wants it, for O(state=present)
author:
  - The fullrank authors (@fullrank)
"""

EXAMPLES = r"""
- name: Route what the inventory has
  fullrank.serving.router:
    routes: "{{ found.routes }}"
    keys: "{{ query('fullrank.serving.router_keys', *(found.routes | map(attribute='name'))) }}"
"""

RETURN = r"""
left:
  description: Deployments whose routers are still here.
  returned: O(state=absent)
  type: list
  elements: str
routers:
  description: RV(fullrank.serving.router_info#module:routers).
  returned: O(state=present)
  type: dict
lines:
  description: RV(fullrank.serving.router_info#module:lines).
  returned: O(state=present)
  type: list
  elements: str
findings:
  description: What is in conflict with them, with severity, code, where, message, remedy and data.
  returned: always
  type: list
  elements: dict
"""

import grp
import os
import shutil
import time
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fullrank.serving.plugins.module_utils.common import files as common_files
from ansible_collections.fullrank.serving.plugins.module_utils.common.file_diff import file_diff
from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import failures
from ansible_collections.fullrank.serving.plugins.module_utils.node import listeners as node_listeners
from ansible_collections.fullrank.serving.plugins.module_utils.node.reader import Host
from ansible_collections.fullrank.serving.plugins.module_utils.router import files, former, obstacles, status
from ansible_collections.fullrank.serving.plugins.module_utils.systemd import names, unit_text
from ansible_collections.fullrank.serving.plugins.module_utils.systemd import state as systemd_state

RELOAD_AGAIN_S = 5.0
"""A signal that comes in the first moments of HAProxy's master is lost; it is sent again."""


class Routers:
    """The units of this node, and how to bring them into the wanted state."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.routes: dict[str, dict[str, Any]] = {}
        for route in module.params["routes"]:
            own = [one for one in module.params["keys"] if one["deployment"] == route["name"]]
            self.routes[route["name"]] = {
                **route,
                # clients need a key where there is any, the engine where it has one
                "key": bool(own),
                "engine_key": any(one["key"] for one in own),
            }
        self.diff: list[dict[str, str]] = []
        self.changed = False
        self.left: list[str] = []

    def systemctl(self, *words: str) -> None:
        """A change: noted always, made unless in check mode."""
        self.changed = True
        if self.module.check_mode:
            return
        code, _unused, error = self.module.run_command(["systemctl", *words])
        if code:
            self.fail(words[-1], f"systemctl {' '.join(words)}: {error.strip()}")

    def fail(self, unit: str, why: str) -> None:
        command = ["journalctl", f"--unit={unit}", "--lines=20", "--output=cat", "--no-pager", "--quiet"]
        _unused, log, _unused = self.module.run_command(command)
        self.module.fail_json(msg=f"{why}\n{log}".strip(), changed=self.changed)

    def write(self, texts: dict[str, str]) -> set[str]:
        """Bring files to what they should be; the paths that differed."""
        differed = set()
        for name, text in texts.items():
            path, secret = Path(name), name.endswith(files.SECRETS)
            before = path.read_text() if path.exists() else None
            if before == text and (not secret or self.readable(path)):
                continue
            differed.add(name)
            self.changed = True
            if secret:
                self.diff.append({"prepared": f"{name}: {'not the same' if before is not None else 'new'}\n"})
            else:
                self.diff.append(file_diff(name, None if before is None else (before, 0), (text, 0)))
            if not self.module.check_mode:
                owner = (os.getuid(), grp.getgrnam(files.GROUP).gr_gid) if secret else None
                common_files.write(path, text, 0o640 if secret else 0o644, owner)
        return differed

    def readable(self, path: Path) -> bool:
        """Whether routers may read a file with keys, and no other may: its group can have gone and come back."""
        try:
            group = grp.getgrnam(files.GROUP).gr_gid
        except KeyError:
            return False
        found = path.stat()
        return found.st_gid == group and found.st_mode & 0o777 == 0o640

    def present(self) -> None:
        gone = [name for name in self.written() if name not in self.routes]
        former.end(self, self.written())
        self.remove(gone)
        if not self.routes:
            self.forget_folders()
            return
        programs = self.write(files.programs())
        former.forget_program(self)
        for name, route in self.routes.items():
            self.have(name, route, programs)

    def have(self, name: str, route: dict[str, Any], programs: set[str]) -> None:
        """One route: its files, then its units."""
        secrets = files.secrets(name, [one for one in self.module.params["keys"] if one["deployment"] == name])
        if route["tls"]:
            secrets[files.path(name, ".pem")] = "".join(
                Path(route[part]).read_text() for part in ("tls_certificate", "tls_key") if Path(route[part]).exists()
            )
        keys = Path(files.path(name, ".keys"))
        known = keys.read_text() if keys.exists() else ""
        surplus = [Path(files.path(name, ending)) for ending in files.SECRETS]
        self.forget([path for path in surplus if str(path) not in secrets])
        differed = self.write(secrets)
        if not self.module.check_mode:
            for command in files.revoked(str(keys), known, secrets.get(str(keys), "")):
                status.command(name, command)
        stamp = " ".join(f"{path} {Path(path).stat().st_mtime_ns}" for path in sorted(secrets) if Path(path).exists())
        differed |= self.write(
            {
                files.path(name, ".cfg"): files.configuration(route, stamp, os.cpu_count() or 1),
                files.path(name, ".json"): files.record(route),
            }
        )
        units = files.units(route)
        if not route["balancer"]:
            self.end(names.balancer_unit(name))
        before = {unit: path.read_text() if path.exists() else "" for unit, path in self.paths(units).items()}
        written = self.write({str(path): units[unit] for unit, path in self.paths(units).items()})
        if written:
            self.systemctl("daemon-reload")
        for unit, text in units.items():
            outdated = unit_text.directives(before[unit]) != unit_text.directives(text)
            self.run(unit, outdated, bool(differed or programs or written) and unit == names.router_unit(name))

    def paths(self, units: dict[str, str]) -> dict[str, Path]:
        return {unit: Path(names.UNITS, unit) for unit in units}

    def run(self, unit: str, outdated: bool, changed: bool) -> None:
        """Have a unit enabled and running by what is written."""
        state = systemd_state.state(self.module.run_command, unit)
        if not state["enabled"]:
            self.systemctl("enable", "--quiet", unit)
        if state["active"] not in ("active", "activating", "reloading"):
            self.systemctl("start", unit)
        elif outdated:
            self.systemctl("restart", unit)
        elif changed:
            self.systemctl("reload", unit)

    def end(self, unit: str) -> None:
        """Stop a unit and remove its file."""
        state = systemd_state.state(self.module.run_command, unit)
        if state["exists"] and state["enabled"]:
            self.systemctl("disable", "--quiet", unit)
        if state["active"] not in ("inactive", "failed"):
            self.systemctl("stop", unit)
        self.forget([Path(names.UNITS, unit)])

    def written(self) -> list[str]:
        """The routes whose files are here."""
        return sorted(path.stem for path in Path(files.CONFIG).glob("*.json"))

    def remove(self, routes: list[str]) -> None:
        for name in routes:
            self.end(names.router_unit(name))
            self.end(names.balancer_unit(name))
            self.forget(
                [Path(files.path(name, ending)) for ending in (*files.SECRETS, ".cfg", ".json", ".crt", ".key")]
            )
        if routes:
            self.systemctl("daemon-reload")

    def forget(self, paths: list[Path]) -> None:
        for path in paths:
            if not path.exists():
                continue
            self.changed = True
            if path.suffix in (*files.SECRETS, ".key"):
                self.diff.append({"prepared": f"{path}: removed\n"})
            else:
                self.diff.append(file_diff(path, (path.read_text(), 0), None))
            if not self.module.check_mode:
                path.unlink()

    def absent(self) -> None:
        there, chosen = self.written(), self.module.params["deployments"]
        gone = [name for name in there if chosen is None or name in chosen]
        former.end(self, gone)
        self.remove(gone)
        self.left = [name for name in there if name not in gone]
        if chosen is None or (gone and not self.left):
            self.forget_folders()

    def forget_folders(self) -> None:
        for path in (Path(files.PROGRAM), Path(files.CONFIG)):
            if path.exists():
                self.changed = True
                if not self.module.check_mode:
                    shutil.rmtree(path)
                    common_files.remove_empty(str(path.parent))

    def take_over(self) -> None:
        """Wait until each router goes by what is written."""
        until = time.monotonic() + self.module.params["timeout"]
        for name in self.routes:
            wanted = files.digest_in(Path(files.path(name, ".cfg")).read_text())
            again = time.monotonic() + RELOAD_AGAIN_S
            while status.read(name).get("config") != wanted:
                if time.monotonic() > until:
                    self.fail(names.router_unit(name), f"router of {name}: it does not take over its configuration")
                if time.monotonic() > again:
                    self.systemctl("reload", names.router_unit(name))
                    again = time.monotonic() + RELOAD_AGAIN_S
                time.sleep(0.2)


def main() -> None:
    key = {
        "deployment": {"type": "str", "required": True},
        "name": {"type": "str", "required": True},
        "sha256": {"type": "str", "required": True, "no_log": True},
        "key": {"type": "str", "no_log": True},
    }
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "deployments": {"type": "list", "elements": "str"},
            "routes": {"type": "list", "elements": "dict", "default": []},
            "keys": {"type": "list", "elements": "dict", "default": [], "options": key, "no_log": False},
            "timeout": {"type": "int", "default": 30},
        },
        supports_check_mode=True,
    )
    routers = Routers(module)
    state = module.params["state"]
    result: dict[str, Any] = {"findings": []}
    if state == "present":
        routes = list(routers.routes.values())
        held = sorted({port for route in routes for port in obstacles.ports(route)})
        result["findings"] = obstacles.found(routes, node_listeners.holders(Host(), held), status.version())
        if message := failures(result["findings"]):
            module.fail_json(msg=message, **result)
    getattr(routers, state)()
    if state == "present" and not module.check_mode:
        routers.take_over()
    if state == "present":
        result["routers"] = status.state(routers.routes.values())
        result["lines"] = [status.line(name, router) for name, router in result["routers"].items()]
    else:
        result["left"] = routers.left
    if module._diff:
        result["diff"] = routers.diff
    module.exit_json(changed=routers.changed, **result)


if __name__ == "__main__":
    main()
