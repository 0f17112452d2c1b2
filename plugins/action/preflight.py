# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: the fullrank authors

"""Runs the module on the node, and reads the controller's clock before and after: between them lies the node's own time."""

from __future__ import annotations

import time
from typing import Any

from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    """The action behind ``fullrank.serving.preflight``."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        sent = time.time()
        result |= self._execute_module(task_vars=task_vars)
        if "node" in result:
            result["node"]["clock"] |= {"sent": sent, "received": time.time()}
        return result
