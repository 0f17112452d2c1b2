# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Starts a fetch on the node and watches it from the controller."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.fullrank.serving.plugins.module_utils.common import human
from ansible_collections.fullrank.serving.plugins.module_utils.weights import folder as weights_folder
from ansible_collections.fullrank.serving.plugins.module_utils.weights.fetch import plan
from ansible_collections.fullrank.serving.plugins.plugin_utils.actions import progress as progress_lines
from ansible_collections.fullrank.serving.plugins.plugin_utils.actions.watch import Watch

TIMEOUT_S = 259200
"""The module's default."""
END_S = 60
"""How long a watch goes on after the time limit of the unit: the unit's own end is the better message."""


class ActionModule(ActionBase):
    """The action behind ``fullrank.serving.model_fetch``: the module again and again, until the unit on the node has ended."""

    TRANSFERS_FILES = True
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        self.task_vars = task_vars or {}
        params = dict(self._task.args)
        if params.get("hub") == "controller":
            params["files"] = self._listed(params)
        if self._task.check_mode:
            return result | self._call(params)
        if params.get("hub") == "controller":
            answer = self._call(params | {"start": False})
            if answer.get("failed"):
                return result | answer
            if why := answer["fetch"].get("lacking_space"):
                return result | {"failed": True, "msg": f"{params['repo']}: {why}"}
            if answer["fetch"]["state"] in ("needed", "failed"):
                self._send(params)
        return result | self._watch(params)

    def _watch(self, params: dict[str, Any]) -> dict[str, Any]:
        """Start the fetch where it is needed, and watch it until it ends."""
        limit_s = int(params.get("timeout") or TIMEOUT_S) + END_S
        watch = Watch(Display().display, self.task_vars["inventory_hostname"], limit_s=limit_s)
        rate, changed, answer = progress_lines.Rate(), False, {}
        for answer in watch.answers(lambda: self._call(params | {"start": not watch.reached})):
            changed = changed or bool(answer.get("changed"))
            if answer.get("failed"):
                return answer
            fetch = answer["fetch"]
            if fetch["state"] != "running":
                break
            changed = True
            watch.report(str(fetch.get("phase")), f"{params['repo']}: {progress_lines.line(fetch, rate.of(fetch))}")
        result = answer | {"changed": changed}
        match answer["fetch"]["state"]:
            case "ready":
                return result
            case "running":
                why = f"not complete after {watch.waited:.0f} s"
            case _:
                why = answer["fetch"]["error"] or "nothing was fetched"
        return result | {"failed": True, "msg": f"{params['repo']}: {why}"}

    def _call(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """The module on the node."""
        return dict(
            self._execute_module("fullrank.serving.model_fetch", module_args=arguments, task_vars=self.task_vars)
        )

    def _listed(self, params: dict[str, Any]) -> list[dict[str, Any]]:
        root = Path(params["repo"])
        include, exclude = params.get("include") or [], params.get("exclude") or []
        sizes = {path: size for path, size in weights_folder.sizes(root).items() if plan.chosen(path, include, exclude)}
        Display().display(f"  reading {human.decimal(sum(sizes.values()))} below {root} on the controller")
        sums = weights_folder.hash_files(root, sorted(sizes))
        return [{"path": path, "size": sizes[path], "sha256": sums[path]} for path in sorted(sizes)]

    def _send(self, params: dict[str, Any]) -> None:
        """Put into the partial folder what the node does not have: whole files, as the connection plugins know no parts."""
        arrived = f"{params['path'].rstrip('/')}/{plan.ARRIVED}"
        temporary = ""  # of one file after the other; Ansible removes its folder when the task ends
        for number, one in enumerate(params["files"], 1):
            final = f"{params['path'].rstrip('/')}/{one['path']}"
            if one["sha256"] in (self._checksum(final), self._checksum(f"{arrived}/{one['path']}")):
                continue
            folder = f"{arrived}/{one['path']}".rpartition("/")[0]
            self._execute_module(
                "ansible.builtin.file", {"path": folder, "state": "directory", "mode": "0755"}, task_vars=self.task_vars
            )
            text = f"sending {one['path']} ({human.decimal(one['size'])}), {number} of {len(params['files'])} files"
            Display().display(f"  {self.task_vars['inventory_hostname']}: {text}")
            temporary = temporary or f"{self._make_tmp_path()}/file"
            self._connection.put_file(str(Path(params["repo"]) / one["path"]), temporary)
            self._execute_module(
                "ansible.builtin.copy",
                {"src": temporary, "dest": f"{arrived}/{one['path']}", "remote_src": True, "mode": "0644"},
                task_vars=self.task_vars,
            )

    def _checksum(self, path: str) -> str:
        answer = self._execute_module(
            "ansible.builtin.stat",
            {"path": path, "checksum_algorithm": "sha256", "get_mime": False, "get_attributes": False},
            task_vars=self.task_vars,
        )
        return str(answer.get("stat", {}).get("checksum", ""))
