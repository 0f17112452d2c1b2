# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Renders a launch on the controller: no connection, nothing changed, the same in check mode."""

from __future__ import annotations

from typing import Any

from ansible_collections.fullrank.serving.plugins.plugin_utils.actions.controller import ControllerAction
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.files import read_catalog
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.engines.request import OPTIONS
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.render import mistakes, render


class ActionModule(ControllerAction):
    """The action behind ``fullrank.serving.engine_command``."""

    options = OPTIONS
    _supports_diff = False

    def answer(self, params: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        launch = render(params, read_catalog(params["engine"]))
        if message := mistakes(launch):
            return {"failed": True, "msg": message, "findings": launch["findings"]}
        return {"launch": launch, "warnings": launch["warnings"]}
