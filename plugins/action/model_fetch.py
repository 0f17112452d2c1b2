# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Starts a fetch on the node and watches it from the controller, saying how far it is."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.fullrank.serving.plugins.module_utils.common import human
from ansible_collections.fullrank.serving.plugins.module_utils.weights import folder as weights_folder
from ansible_collections.fullrank.serving.plugins.module_utils.weights.fetch import plan
from ansible_collections.fullrank.serving.plugins.plugin_utils.report import fetch_progress

INTERVAL_S = 1.0
SAY_EVERY_S = 10.0


class ActionModule(ActionBase):
    """The action behind ``fullrank.serving.model_fetch``."""

    TRANSFERS_FILES = True
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        self.task_vars = task_vars
        given = dict(self._task.args)
        if given.get("state", "present") != "present":
            return result | self._execute_module(module_args=given, task_vars=task_vars)
        if given.get("hub") == "controller":
            given["files"] = self._listed(given)
            if not self._task.check_mode:
                told = self._execute_module(module_args=given | {"state": "watched"}, task_vars=task_vars)
                if told.get("failed"):
                    return result | told
                if why := told["fetch"].get("lacking_space"):
                    return result | {"failed": True, "msg": f"{given['repo']}: {why}"}
                if told["fetch"]["state"] in ("needed", "failed"):
                    self._send(given)
        told = self._execute_module(module_args=given | {"state": "started"}, task_vars=task_vars)
        changed = bool(told.get("changed"))
        said = time.monotonic() - SAY_EVERY_S / 2  # the first word soon
        while not told.get("failed") and not self._task.check_mode and told["fetch"]["state"] == "running":
            changed = True
            if time.monotonic() - said >= SAY_EVERY_S:
                said = time.monotonic()
                text = fetch_progress.line(told["fetch"])
                Display().display(f"  {task_vars['inventory_hostname']}: {given['repo']}: {text}")
            time.sleep(INTERVAL_S)
            told = self._execute_module(module_args=given | {"state": "watched"}, task_vars=task_vars)
        result |= told | {"changed": changed}
        if not self._task.check_mode and told.get("fetch", {}).get("state") in ("failed", "needed"):
            result |= {"failed": True, "msg": f"{given['repo']}: {told['fetch']['error'] or 'nothing was fetched'}"}
        return result

    def _listed(self, given: dict[str, Any]) -> list[dict[str, Any]]:
        root = Path(given["repo"])
        include, exclude = given.get("include") or [], given.get("exclude") or []
        sizes = {path: size for path, size in weights_folder.sizes(root).items() if plan.chosen(path, include, exclude)}
        Display().display(f"  reading {human.decimal(sum(sizes.values()))} below {root} on the controller")
        sums = weights_folder.hash_files(root, sorted(sizes))
        return [{"path": path, "size": sizes[path], "sha256": sums[path]} for path in sorted(sizes)]

    def _send(self, given: dict[str, Any]) -> None:
        """Put into the partial folder what the node does not have: whole files, as the connection plugins know no parts."""
        arrived = f"{given['path'].rstrip('/')}/{plan.ARRIVED}"
        temporary = ""  # of one file after the other; Ansible removes its folder when the task ends
        for number, one in enumerate(given["files"], 1):
            final = f"{given['path'].rstrip('/')}/{one['path']}"
            if one["sha256"] in (self._checksum(final), self._checksum(f"{arrived}/{one['path']}")):
                continue
            folder = f"{arrived}/{one['path']}".rpartition("/")[0]
            self._execute_module(
                "ansible.builtin.file", {"path": folder, "state": "directory", "mode": "0755"}, task_vars=self.task_vars
            )
            text = f"sending {one['path']} ({human.decimal(one['size'])}), {number} of {len(given['files'])} files"
            Display().display(f"  {self.task_vars['inventory_hostname']}: {text}")
            temporary = temporary or f"{self._make_tmp_path()}/file"
            self._connection.put_file(str(Path(given["repo"]) / one["path"]), temporary)
            self._execute_module(
                "ansible.builtin.copy",
                {"src": temporary, "dest": f"{arrived}/{one['path']}", "remote_src": True, "mode": "0644"},
                task_vars=self.task_vars,
            )

    def _checksum(self, path: str) -> str:
        told = self._execute_module(
            "ansible.builtin.stat",
            {"path": path, "checksum_algorithm": "sha256", "get_mime": False, "get_attributes": False},
            task_vars=self.task_vars,
        )
        return str(told.get("stat", {}).get("checksum", ""))
