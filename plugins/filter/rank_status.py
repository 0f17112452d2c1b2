# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How deployments are doing: rows for programs, a table for people."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.fullrank.serving.plugins.plugin_utils.diagnosis.status import not_ready, status_rows, table


class FilterModule:
    """The filters ``fullrank.serving.rank_rows``, ``fullrank.serving.rank_table`` and ``fullrank.serving.ranks_not_ready``."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"rank_rows": status_rows, "rank_table": table, "ranks_not_ready": not_ready}
