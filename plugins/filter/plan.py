# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a deployment, as data and as a page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.fullrank.serving.plugins.plugin_utils.plan.page import plan_data, plan_page


class FilterModule:
    """The filters ``fullrank.serving.plan_data`` and ``fullrank.serving.plan_page``."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"plan_data": plan_data, "plan_page": plan_page}
