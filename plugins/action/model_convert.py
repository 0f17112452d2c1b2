# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Converts a model on a node, and says from the controller how far it is."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

PROGRAM = Path(__file__).parents[1] / "module_utils/weights/convert/worker.py"
KEPT = ("converted", "bytes")
"""What only the call that started the conversion knows."""


class ActionModule(ActionBase):
    """The action behind ``fullrank.serving.model_convert``: the module again and again, until the unit on the node has ended.

    The unit outlives a connection that breaks, so no single call has to last for hours.
    """

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        arguments = {**self._task.args, "program": PROGRAM.read_text(encoding="utf-8")}
        began = time.monotonic()
        answer = self._ask(arguments, task_vars)
        first = answer
        while answer.get("running"):
            line = answer.get("progress") or "begins"
            Display().display(f"  {task_vars['inventory_hostname']}: {arguments.get('path')}: {line}")
            answer = self._ask({**arguments, "start": False}, task_vars)
        if first is not answer and not answer.get("failed"):
            answer |= {"changed": True, **{name: first[name] for name in KEPT if name in first}}
        if not self._task.check_mode:
            answer["seconds"] = round(time.monotonic() - began, 1)
        return result | answer

    def _ask(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        answer = self._execute_module("fullrank.serving.model_convert", arguments, task_vars=task_vars)
        answer.pop("invocation", None)  # the program is no news
        return dict(answer)
