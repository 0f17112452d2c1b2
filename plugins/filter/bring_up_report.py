# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a deployment did not come up, for people."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.fullrank.serving.plugins.plugin_utils.diagnosis import tables
from ansible_collections.fullrank.serving.plugins.plugin_utils.diagnosis.bring_up import bring_up_report


def report(deployment: str, host: str, hosts: list[str], results: list[Any], label: str = "") -> str:
    return bring_up_report(tables.failures(), deployment, host, hosts, results, label=label)


class FilterModule:
    """The filter ``fullrank.serving.bring_up_report``."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"bring_up_report": report}
