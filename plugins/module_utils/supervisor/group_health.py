# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The health of a group of which several ranks serve: each asks its own endpoint, the head puts them together (decisions/147).
Pure; private to this collection.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.supervisor.decisions import Health

LONGEST = 300
"""Characters of a summary: a datagram has room for little."""


def words(health: Health) -> dict[str, Any]:
    """What a rank that serves tells the head."""
    return {
        "answers": health.answers,
        "stalled": health.stalled,
        "hung": health.hung,
        "summary": health.summary[:LONGEST],
    }


def of_group(own: Health, others: Mapping[int, Mapping[str, Any]], names: Sequence[str]) -> Health:
    """The health of the endpoint that is worst off, with its rank: the group is ready when all of them answer.

    own: the head's. others: rank → its `words`. names: of all ranks, for people.
    """
    found = [own]
    for rank, reported in sorted(others.items()):
        summary = f"rank {rank} ({names[rank]}): {reported['summary']}"
        state = {name: bool(reported[name]) for name in ("answers", "stalled", "hung")}
        found.append(replace(own, **state, summary=summary, rank=rank))
    return max(found, key=lambda one: (one.hung, one.stalled, not one.answers))
