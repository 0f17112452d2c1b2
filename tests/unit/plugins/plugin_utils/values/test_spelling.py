# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is a misspelling, and what is a name of one's own."""

from __future__ import annotations

import pytest
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.roles import options
from ansible_collections.fullrank.serving.plugins.plugin_utils.values.spelling import distance, misspelt
from hypothesis import given
from hypothesis import strategies as st

KNOWN = sorted({name for role in options().values() for name in role})


@given(st.sampled_from(KNOWN), st.data())
def test_two_letters_that_changed_places_are_a_misspelling(name: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(len(name) - 4, len(name) - 2))
    written = name[:place] + name[place + 1] + name[place] + name[place + 2 :]
    if written not in KNOWN:
        assert distance(written, name) == 1
        assert misspelt(written, KNOWN)


@pytest.mark.parametrize(
    "name", ["engine_tag", "engine_room_of_ours", "engine_gpu_type", "docker_user", "webui_theme", "router_name"]
)
def test_a_name_of_ones_own_is_none(name: str) -> None:
    assert misspelt(name, KNOWN, name.partition("_")[0] + "_") == ""
