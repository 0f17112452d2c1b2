# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Takes the lock of a deployment for the run that this action is a part of."""

from __future__ import annotations

import getpass
import os
import socket
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.fullrank.serving.plugins.module_utils.systemd import names
from ansible_collections.fullrank.serving.plugins.plugin_utils.actions import run_identity


class ActionModule(ActionBase):
    """The action behind ``fullrank.serving.run_lock``."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        variables = task_vars or {}
        # a task runs in a process that the run's own has forked
        pid = os.getppid()
        arguments = {
            "run": run_identity.identity(pid),
            "by": _by(pid, str(variables.get("ansible_play_name", ""))),
            **self._task.args,
        }
        answer = self._execute_module("fullrank.serving.run_lock", arguments, task_vars=variables)
        holder = answer.get("holder") or {}
        if holder and run_identity.is_dead(holder["id"]):
            over = {**arguments, "over": holder["id"]}
            answer = self._execute_module("fullrank.serving.run_lock", over, task_vars=variables)
            holder = {} if self._task.check_mode else answer.get("holder") or {}
        if holder:
            deployment = str(arguments["deployment"])
            place, host = names.run_lock(deployment), str(variables.get("inventory_hostname"))
            answer["why"] = run_identity.why(deployment, holder, place, host)
        return result | answer


def _by(pid: int, play: str) -> str:
    """For people: who runs what, where."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()} ({play or 'a task'}, pid {pid})"
