# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is a misspelling, and what is a name of one's own."""

from __future__ import annotations

import pytest
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.roles import options
from ansible_collections.fullrank.serving.plugins.plugin_utils.values.spelling import distance, misspelt
from hypothesis import example, given
from hypothesis import strategies as st

KNOWN = sorted({name for role in options().values() for name in role})


@example("router_queue", 8)
@given(st.sampled_from(KNOWN), st.integers(-4, -2))
def test_two_letters_that_changed_places_are_a_misspelling(name: str, place: int) -> None:
    place %= len(name)
    written = name[:place] + name[place + 1] + name[place] + name[place + 2 :]
    if written not in KNOWN:
        assert distance(written, name) == 1
        assert misspelt(written, KNOWN)


@pytest.mark.parametrize(
    "name", ["engine_tag", "engine_room_of_ours", "engine_gpu_type", "docker_user", "webui_theme", "router_name"]
)
def test_a_name_of_ones_own_is_none(name: str) -> None:
    assert misspelt(name, KNOWN, name.partition("_")[0] + "_") == ""
