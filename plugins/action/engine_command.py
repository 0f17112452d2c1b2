"""Renders a launch on the controller: no connection, nothing changed, the same in check mode."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog_files import read_catalog
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch import mistakes, render
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch_request import OPTIONS


class ActionModule(ActionBase):
    """The action behind ``fullrank.serving.engine_command``."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _supports_diff = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        _unused, options = self.validate_argument_spec(argument_spec=OPTIONS)
        launch = render(options, read_catalog(options["engine"]))
        result["changed"] = False
        if message := mistakes(launch):
            return result | {"failed": True, "msg": message, "findings": launch["findings"]}
        return result | {"launch": launch, "warnings": launch["warnings"]}
