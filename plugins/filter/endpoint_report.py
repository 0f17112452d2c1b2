# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was found at the endpoints of the deployments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.fullrank.serving.plugins.plugin_utils.report.endpoint_report import rows


class FilterModule:
    """The filter ``fullrank.serving.endpoint_report``."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"endpoint_report": rows}
