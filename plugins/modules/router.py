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
  - Writes C(fullrank-router@NAME.service), an nginx of its own with its configuration in C(/etc/fullrank/router), and the watcher
    that tells it which replicas are ready. The nginx of the distribution and its sites are not touched.
  - What changes is taken over without an end to the requests that are being answered.
options:
  state:
    description:
      - V(present) makes O(routes) what this node routes; a router of ours that is not among them is removed. It fails, with all
        findings, before anything changes where something stands in the way.
      - V(absent) removes all of them, but not the packages.
    type: str
    choices: [present, absent]
    default: present
  routes:
    description: RV(fullrank.serving.routes#module:routes).
    type: list
    elements: dict
    default: []
  timeout:
    description: Seconds in which a router must have taken over its configuration.
    type: int
    default: 30
attributes:
  check_mode:
    description: Reports what would change, and what stands in the way.
    support: full
  diff_mode:
    description: Shows the files. There are no secrets in them.
    support: full
  idempotent:
    description: A second call with the same routes changes nothing.
    support: full
requirements:
  - systemd 248 or newer
  - nginx, and smg where a route wants it, for O(state=present)
author:
  - The fullrank authors (@fullrank)
"""

EXAMPLES = r"""
- name: Route what the inventory has
  fullrank.serving.router:
    routes: "{{ found.routes }}"
"""

RETURN = r"""
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

import shutil
import socket
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fullrank.serving.plugins.module_utils.common import files as common_files
from ansible_collections.fullrank.serving.plugins.module_utils.common.file_diff import file_diff
from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import failed, failures
from ansible_collections.fullrank.serving.plugins.module_utils.node import listeners as node_listeners
from ansible_collections.fullrank.serving.plugins.module_utils.node.reader import Host
from ansible_collections.fullrank.serving.plugins.module_utils.router import files, status
from ansible_collections.fullrank.serving.plugins.module_utils.systemd import names, unit_text
from ansible_collections.fullrank.serving.plugins.module_utils.systemd import state as systemd_state


def ports(route: dict[str, Any]) -> dict[int, str]:
    """The ports of a route → the variables that set them."""
    found = {int(route["port"]): "router_port"}
    if route["balancer"]:
        found |= {int(route["balancer"]["port"]) + more: "router_smg_port" for more in (0, 1)}
    return found


def obstacles(routes: list[dict[str, Any]], listeners: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Ports that somebody else holds, and replicas whose names this node cannot resolve."""
    found = []
    holders = {one["port"]: one for one in listeners}
    for route in routes:
        for port, variable in ports(route).items():
            holder = holders.get(port)
            own = (names.router_unit(route["name"]), names.former_router_unit(route["name"]))
            if holder and holder["unit"] not in own:
                who = f"{holder['command'] or 'a process that could not be seen'} (pid {holder['pid']}"
                who += f", {holder['unit']})" if holder["unit"] else ")"
                message = f"port {port} is in use by {who}"
                found.append(
                    failed("port-in-use", f"{variable} of {route['name']}", message, "end it, or choose another port")
                )
        for server in route["servers"]:
            name = urlsplit(server["url"]).hostname or ""
            try:
                socket.getaddrinfo(name, None)
            except OSError as error:
                found.append(
                    failed(
                        "name-not-resolved",
                        f"router of {route['name']}",
                        f"this node does not know {name}: {error}",
                        f"give {server['name']} an address as ansible_host",
                    )
                )
    return found


class Routers:
    """The units of this node, and how to bring them into the wanted state."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.routes: dict[str, dict[str, Any]] = {route["name"]: route for route in module.params["routes"]}
        self.diff: list[dict[str, str]] = []
        self.outdated: set[str] = set()  # units that run by other directives than those that are now written
        self.changed = False

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

    def write(self, texts: dict[str, str], *, shown: bool = True) -> set[str]:
        """Bring files to what they should be; the paths that differed."""
        differed = set()
        for name, text in texts.items():
            path = Path(name)
            before = path.read_text() if path.exists() else ""
            if path.exists() and before == text:
                continue
            differed.add(name)
            if name.endswith(".service") and unit_text.directives(before) != unit_text.directives(text):
                self.outdated.add(Path(name).name)
            self.changed = True
            if shown:
                self.diff.append(file_diff(name, (before, 0) if path.exists() else None, (text, 0)))
            if not self.module.check_mode:
                common_files.write(path, text, 0o644)
        if not shown:
            surplus = [str(path) for path in Path(files.PROGRAM).rglob("*.py") if str(path) not in texts]
            self.forget([Path(path) for path in surplus])
            differed |= set(surplus)
        if differed and not shown:
            self.diff.append({"prepared": f"{files.PROGRAM}: the watcher's program, of another version"})
        return differed

    def end_former(self, names_of_routes: list[str]) -> None:
        """Units that the first versions wrote, with their caches: requests end first, then today's unit takes the port."""
        for name in names_of_routes:
            unit = names.former_router_unit(name)
            file = Path(names.UNITS, unit)
            # a first version's engine of a deployment "router-NAME" has such a name, too
            if not file.exists() or files.config_file(name) not in file.read_text():
                continue
            self.systemctl("disable", "--quiet", "--now", unit)
            self.forget([file])
            self.systemctl("daemon-reload")
            cache = unit[: -len(".service")]
            if not self.module.check_mode:
                Path("/var/cache", cache).unlink(missing_ok=True)
                shutil.rmtree(Path("/var/cache/private", cache), ignore_errors=True)

    def present(self) -> None:
        self.end_former(self.written())
        self.remove([name for name in self.written() if name not in self.routes])
        if not self.routes:
            self.remove_program()
            return
        program = self.write(files.program(), shown=False)
        differed = {name: self.write(files.files(route)) for name, route in self.routes.items()}
        if any(path.endswith(".service") for paths in differed.values() for path in paths):
            self.systemctl("daemon-reload")
        for name, paths in differed.items():
            unit = names.router_unit(name)
            state = systemd_state.state(self.module.run_command, unit)
            if not state["enabled"]:
                self.systemctl("enable", "--quiet", unit)
            if state["active"] not in ("active", "activating", "reloading"):
                self.systemctl("start", unit)
            elif unit in self.outdated:
                self.systemctl("restart", unit)
            elif paths or program:
                self.systemctl("reload", unit)

    def written(self) -> list[str]:
        """The routes whose files are here."""
        return sorted(path.stem for path in Path(files.CONFIG).glob("*.json"))

    def remove(self, routes: list[str]) -> None:
        for name in routes:
            unit = names.router_unit(name)
            state = systemd_state.state(self.module.run_command, unit)
            if state["exists"] and state["enabled"]:
                self.systemctl("disable", "--quiet", unit)
            if state["active"] not in ("inactive", "failed"):
                self.systemctl("stop", unit)
            self.forget([Path(names.UNITS, unit), Path(files.config_file(name)), Path(files.nginx_file(name))])
        if routes:
            self.systemctl("daemon-reload")

    def forget(self, paths: list[Path]) -> None:
        for path in paths:
            if path.exists():
                self.changed = True
                self.diff.append(file_diff(path, (path.read_text(), 0), None))
                if not self.module.check_mode:
                    path.unlink()

    def absent(self) -> None:
        self.end_former(self.written())
        self.remove(self.written())
        self.remove_program()

    def remove_program(self) -> None:
        for path in (Path(files.PROGRAM).parent, Path(files.CONFIG)):
            if path.exists():
                self.changed = True
                if not self.module.check_mode:
                    shutil.rmtree(path)

    def take_over(self) -> None:
        """Wait until each watcher goes by what is written."""
        until = time.monotonic() + self.module.params["timeout"]
        for name, route in self.routes.items():
            wanted = files.digest(route)
            reported = status.read(name)
            while reported.get("config") != wanted and time.monotonic() < until:
                time.sleep(0.2)
                reported = status.read(name)
            if reported.get("config") != wanted or reported["error"]:
                why = reported.get("error") or "it does not take over its configuration"
                self.fail(names.router_unit(name), f"router of {name}: {why}")


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "routes": {"type": "list", "elements": "dict", "default": []},
            "timeout": {"type": "int", "default": 30},
        },
        supports_check_mode=True,
    )
    routers = Routers(module)
    state = module.params["state"]
    result: dict[str, Any] = {"findings": []}
    if state == "present":
        held = sorted({port for route in routers.routes.values() for port in ports(route)})
        result["findings"] = obstacles(list(routers.routes.values()), node_listeners.holders(Host(), held))
        if message := failures(result["findings"]):
            module.fail_json(msg=message, **result)
    getattr(routers, state)()
    if state == "present" and not module.check_mode:
        routers.take_over()
    if state == "present":
        result["routers"] = status.state(routers.routes.values())
        result["lines"] = [status.line(name, router) for name, router in result["routers"].items()]
    if module._diff:
        result["diff"] = routers.diff
    module.exit_json(changed=routers.changed, **result)


if __name__ == "__main__":
    main()
