# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Decides which node takes a model's files from which, and watches how they travel."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any

from ansible import constants as C
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.fullrank.serving.plugins.module_utils.common import findings as common_findings
from ansible_collections.fullrank.serving.plugins.module_utils.weights.transfer.request import OPTIONS, transfer_id
from ansible_collections.fullrank.serving.plugins.plugin_utils.actions import progress as progress_lines
from ansible_collections.fullrank.serving.plugins.plugin_utils.actions.watch import Watch
from ansible_collections.fullrank.serving.plugins.plugin_utils.actions.weights_distribution import (
    Distribution,
    Part,
    distribute,
    shared,
)

TOKEN_BYTES = 32
END_S = 60
"""How long a watch goes on after the time limit of the unit: the unit's own end is the better message."""


def token(path: str) -> str:
    """This run's token for the transfer into ``path``: made by the first host's process, read by the others.

    It lives in the run's own temporary folder, which has mode 0700 and goes with the run.
    """
    file = Path(C.DEFAULT_LOCAL_TMP) / f"{transfer_id(path)}.token"
    mine = file.with_name(f"{file.name}.{os.getpid()}")
    mine.touch(mode=0o600)
    mine.write_text(secrets.token_urlsafe(TOKEN_BYTES))
    try:
        file.hardlink_to(mine)
    except FileExistsError:
        pass
    finally:
        mine.unlink()
    return file.read_text()


class ActionModule(ActionBase):
    """The action behind ``fullrank.serving.model_distribute``."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        _unused, self.params = self.validate_argument_spec(argument_spec=OPTIONS)
        self.task_vars = task_vars or {}
        self.host = self.task_vars["inventory_hostname"]
        match self.params["state"]:
            case "started":
                return result | self._start()
            case "present" if not self._task.check_mode:
                return result | self._wait()
        return result | self._call()

    def _call(self, **private: Any) -> dict[str, Any]:
        """The module on the node."""
        arguments = {"state": self.params["state"], "path": self.params["path"], **private}
        return dict(self._execute_module("fullrank.serving.model_distribute", arguments, task_vars=self.task_vars))

    def _start(self) -> dict[str, Any]:
        params = self.params
        if self._task.check_mode and params["source_pending"]:
            receives = params["method"] != "shared" and self.host != params["source"]
            message = f"{params['source']} would get its copy first, and give it to the others"
            return {"changed": receives, "msg": message}
        copies = {host: copy for host, copy in params["copies"].items() if copy and "ready" in copy}
        if params["method"] == "shared":
            plan, findings = None, shared(params["path"], params["source"], copies)
        else:
            plan, findings = distribute(params["path"], params["source"], copies, params["streams"])
        if findings:
            message = common_findings.failures(findings, f"{params['path']}: nothing was sent or changed")
            first = next(iter(copies), self.host)
            message = message if self.host == first else f"see {first}"
            return {"changed": False, "failed": True, "findings": findings, "msg": message}
        part = plan.parts.get(self.host) if plan else None
        if plan is None or part is None:
            return {"changed": False, "skipped": True, "msg": "this node has everything, and others give"}
        if self._task.check_mode:
            text = f"would take what is missing from {part.upstreams[0]['name']}" if part.receives else "would give"
            return {"changed": part.receives, "msg": text}
        return self._call(part=self._settings(part, copies[self.host], plan), token=token(params["path"]))

    def _settings(self, part: Part, copy: dict[str, Any], plan: Distribution) -> dict[str, Any]:
        """Everything that the node's part needs to know."""
        params = self.params
        return {
            "deployment": params["deployment"],
            "timeout": params["timeout"],
            "manifest": plan.manifest,
            "slice_bytes": plan.slice_bytes,
            "streams": plan.streams,
            "address": copy["address"],
            "port": copy["port"],
            "peers": plan.peers,
            "upstreams": part.upstreams,
            "rsh": params["rsh"] if params["method"] == "rsync" else "",
            "stall_s": params["stall_timeout"],
            "linger_s": params["linger"],
        }

    def _wait(self) -> dict[str, Any]:
        """Watch until the copy is there or will not be."""
        path, rate = self.params["path"], progress_lines.Rate()
        watch = Watch(
            Display().display,
            self.host,
            limit_s=self.params["timeout"] + END_S,
            lost_s=self.params["stall_timeout"],
            reached=True,
        )
        for found in watch.answers(self._call):
            progress = found.get("progress")
            if found.get("failed") or progress is None:
                return found | {"failed": True, "msg": found.get("msg") or f"{self.host} takes no part in a transfer"}
            found["changed"] = progress["received"] > 0
            line = progress_lines.line(progress, rate.of(progress))
            if progress["phase"] == "complete":
                return found
            if progress["phase"] == "failed":
                return found | {"failed": True, "msg": f"{self.host}: {progress['error']}"}
            if not found["active"]:
                why = f"its part of the transfer ended early at: {line}; see journalctl -u {transfer_id(path)}"
                return found | {"failed": True, "msg": f"{self.host}: {why}"}
            watch.report(progress["phase"], f"{path}: {line}")
        return {"failed": True, "msg": f"{self.host}: {path}: not complete after {watch.waited:.0f} s"}
