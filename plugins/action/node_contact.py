# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tries a node once, without making the play fail on it."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase

OPTIONS = {"attempt": {"type": "bool", "default": True}}
OFFLINE = "plan_offline is set, so no node was asked"


class ActionModule(ActionBase):
    """The action behind ``fullrank.serving.node_contact``."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        _unused, params = self.validate_argument_spec(argument_spec=OPTIONS)
        answers, why = self._try(task_vars) if params["attempt"] else (False, OFFLINE)
        return result | {"changed": False, "answers": answers, "msg": why}

    def _try(self, task_vars: dict[str, Any] | None) -> tuple[bool, str]:
        """One module by the node's own connection, so that jump hosts, ports and users of the inventory count."""
        try:
            # without arguments of its own the module would be given this task's, and refuse them
            answer = self._execute_module(module_name="ansible.builtin.ping", module_args={}, task_vars=task_vars)
        except AnsibleConnectionFailure as error:
            return False, " ".join(str(error).split())
        good = answer.get("ping") == "pong"
        return good, "" if good else str(answer.get("msg") or answer.get("module_stderr") or "no answer").strip()
