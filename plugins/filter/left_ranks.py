# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ranks of deployments that the inventory does not have where they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.left_ranks import expected, left, lines


def left_ranks(
    found: Mapping[str, Sequence[str]], deployments: Mapping[str, Sequence[Sequence[str]]], variables: Mapping[str, Any]
) -> list[str]:
    return lines(left(found, deployments, variables))


class FilterModule:
    """The filters ``fullrank.serving.left_ranks`` and ``fullrank.serving.ranks_expected``."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"left_ranks": left_ranks, "ranks_expected": expected}
