# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Routers on hosts that the inventory has no longer in the group router."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.left_routers import left, lines


def routers_left(found: Mapping[str, list[str]], routers: Iterable[str], variables: Mapping[str, Any]) -> list[str]:
    return lines(left(found, routers, variables))


class FilterModule:
    """The filter ``fullrank.serving.routers_left``."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"routers_left": routers_left}
