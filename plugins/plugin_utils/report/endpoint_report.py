# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was found at the endpoints of the deployments, for people. Pure; private to this collection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.fullrank.serving.plugins.plugin_utils.common.text_table import table


def rows(checks: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line for each endpoint and check, then what to do about those that failed. checks: as `endpoint_check` returns them."""
    cells = [["endpoint", "check", "", "what was seen"]]
    cells += [[one["where"], one["code"], one["severity"], one["message"]] for one in checks]
    advice = dict.fromkeys(
        f"-> {one['where']}: {one['remedy']}" for one in checks if one["severity"] != "pass" and one["remedy"]
    )
    return [*table(cells), *advice]
