# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Decides who takes a model's files from whom, and shows how they travel."""

from __future__ import annotations

import os
import secrets
import time
from pathlib import Path
from typing import Any

from ansible import constants as C
from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.fullrank.serving.plugins.module_utils.weights.transfer.request import (
    OPTIONS,
    outlook,
    transfer_id,
)
from ansible_collections.fullrank.serving.plugins.plugin_utils.actions.weights_distribution import (
    Part,
    distribute,
    shared,
)
from ansible_collections.fullrank.serving.plugins.plugin_utils.common import findings as common_findings

# A node is asked again after this share of the time so far: watching costs little, and ends soon after the transfer.
ASK_AGAIN_SHARE, SOONEST_S, LATEST_S = 0.05, 1.0, 10.0
SAY_EVERY_S = 5.0
TOKEN_BYTES = 32


def token(path: str) -> str:
    """This run's token for the transfer into ``path``: made by the first host's process, read by the others.

    It lives in the run's own temporary folder, which is ours alone and goes with the run.
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
        _unused, self.given = self.validate_argument_spec(argument_spec=OPTIONS)
        task_vars = task_vars or {}
        self.task_vars, self.host = task_vars, task_vars["inventory_hostname"]
        match self.given["state"]:
            case "inspected":
                return result | self._ask(**{name: self.given[name] for name in ("address", "interface", "port")})
            case "started":
                return result | self._start()
            case "awaited":
                return result | self._wait()
        if self._task.check_mode:
            return result | {"changed": False, "skipped": True, "msg": "nothing was started"}
        return result | self._ask()

    def _ask(self, state: str = "", **arguments: Any) -> dict[str, Any]:
        """The module on the node."""
        arguments |= {"state": state or self.given["state"], "path": self.given["path"]}
        return dict(self._execute_module("fullrank.serving.model_distribute", arguments, task_vars=self.task_vars))

    def _start(self) -> dict[str, Any]:
        given = self.given
        if self._task.check_mode and given["source_pending"]:
            receives = given["method"] != "shared" and self.host != given["source"]
            return {
                "changed": receives,
                "msg": f"{given['source']} would get its copy first, and give it to the others",
            }
        copies = {host: copy for host, copy in given["copies"].items() if copy and "ready" in copy}
        if given["method"] == "shared":
            plan, findings = None, shared(given["path"], given["source"], copies)
        else:
            plan, findings = distribute(given["path"], given["source"], copies, given["streams"])
        if findings:
            message = common_findings.failures(findings, f"{given['path']}: nothing was sent or changed")
            first = next(iter(copies), self.host)
            message = message if self.host == first else f"see {first}"
            return {"changed": False, "failed": True, "findings": findings, "msg": message}
        part = plan.parts.get(self.host) if plan else None
        if plan is None or part is None:
            return {"changed": False, "skipped": True, "msg": "this node has everything, and others give"}
        if self._task.check_mode:
            said = f"would take what is missing from {part.upstreams[0]['name']}" if part.receives else "would give"
            return {"changed": part.receives, "msg": said}
        return self._ask(part=self._told(part, copies[self.host], plan), token=token(given["path"]))

    def _told(self, part: Part, copy: dict[str, Any], plan: Any) -> dict[str, Any]:
        """Everything that the node's part needs to know."""
        given = self.given
        return {
            "deployment": given["deployment"],
            "timeout": given["timeout"],
            "manifest": plan.manifest,
            "slice_bytes": plan.slice_bytes,
            "streams": plan.streams,
            "address": copy["address"],
            "port": copy["port"],
            "peers": plan.peers,
            "upstreams": part.upstreams,
            "rsh": given["rsh"] if given["method"] == "rsync" else "",
            "stall_s": given["stall_timeout"],
            "linger_s": given["linger"],
        }

    def _wait(self) -> dict[str, Any]:
        """Watch until the copy is there or will not be."""
        if self._task.check_mode:
            return {"changed": False, "skipped": True, "msg": "nothing was started: there is nothing to wait for"}
        began = said = time.monotonic()
        before, lost = None, 0.0
        while True:
            interval = min(LATEST_S, max(SOONEST_S, ASK_AGAIN_SHARE * (time.monotonic() - began)))
            try:
                found = self._ask("running")
                lost = 0.0
            except AnsibleConnectionFailure:
                lost = lost or time.monotonic()
                if time.monotonic() - lost > self.given["stall_timeout"]:
                    raise
                time.sleep(interval)
                continue
            progress = found.get("progress")
            if found.get("failed") or progress is None:
                return found | {"failed": True, "msg": found.get("msg") or f"{self.host} takes no part in a transfer"}
            found["changed"] = progress["received"] > 0
            if progress["state"] == "complete":
                return found
            if progress["state"] == "failed":
                return found | {"failed": True, "msg": f"{self.host}: {progress['message']}"}
            if not found["active"]:
                why = f"its part of the transfer ended early at {outlook(progress, None)}; see journalctl -u"
                return found | {"failed": True, "msg": f"{self.host}: {why} {transfer_id(self.given['path'])}"}
            if time.monotonic() - said >= SAY_EVERY_S:
                said = time.monotonic()
                Display().display(f"  {self.host}: {self.given['path']}: {outlook(progress, before)}")
                before = progress
            time.sleep(interval)
