# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Starts a conversion on the node and watches it from the controller."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.fullrank.serving.plugins.plugin_utils.actions import progress as progress_lines
from ansible_collections.fullrank.serving.plugins.plugin_utils.actions.watch import Watch

TIMEOUT_S = 86400
"""The module's default."""
END_S = 60
"""How long a watch goes on after the time limit of the unit: the unit's own end is the better message."""
KEPT = ("converted", "bytes")
"""What only the call that started the conversion knows."""


class ActionModule(ActionBase):
    """The action behind ``fullrank.serving.model_convert``: the module again and again, until the unit on the node has ended."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        params, self.task_vars = dict(self._task.args), task_vars or {}
        if self._task.check_mode:
            return result | self._call(params)
        limit_s = int(params.get("timeout") or TIMEOUT_S) + END_S
        watch = Watch(Display().display, self.task_vars["inventory_hostname"], limit_s=limit_s)
        rate, first, answer = progress_lines.Rate(), None, {}
        for answer in watch.answers(lambda: self._call(params | {"start": not watch.reached})):
            first = first or answer
            if not answer.get("running"):
                break
            progress = answer["progress"]
            line = progress_lines.line(progress, rate.of(progress))
            watch.report(str(progress.get("phase")), f"{params.get('path')}: {line}")
        if answer.get("running"):
            answer |= {"failed": True, "msg": f"{params.get('path')}: not complete after {watch.waited:.0f} s"}
        elif first is not None and first is not answer and not answer.get("failed"):
            answer |= {"changed": True, **{name: first[name] for name in KEPT if name in first}}
        return result | answer | {"seconds": round(watch.waited, 1)}

    def _call(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """The module on the node."""
        return dict(self._execute_module("fullrank.serving.model_convert", arguments, task_vars=self.task_vars))
