# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sends the requests of the endpoint check from the controller, or lets the node send them."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.fullrank.serving.plugins.module_utils.endpoint import checks


class ActionModule(ActionBase):
    """The action behind ``fullrank.serving.endpoint_check``."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        _unused, params = self.validate_argument_spec(argument_spec=checks.OPTIONS)
        by_node = [one for one in params["endpoints"] if (one["ask_from"] or params["ask_from"]) == "node"]
        by_controller = [one for one in params["endpoints"] if one not in by_node]
        found = checks.look_at_all(by_controller, params["timeout"])
        if by_node:
            # an option that was left out is None here, and no choice there
            options = [{name: value for name, value in one.items() if value is not None} for one in by_node]
            arguments = {**self._task.args, "endpoints": options}
            result |= self._execute_module(module_args=arguments, task_vars=task_vars)
        return result | {"changed": False, "checks": found + list(result.get("checks", []))}
