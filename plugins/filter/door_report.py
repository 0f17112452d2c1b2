"""What was found at the doors of the deployments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.fullrank.serving.plugins.plugin_utils.report.endpoint_report import rows


class FilterModule:
    """The filter ``fullrank.serving.door_report``."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"door_report": rows}
