# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Routers that serve on where the inventory routes nothing any more."""

from __future__ import annotations

from ansible_collections.fullrank.serving.plugins.filter.routers_left import FilterModule
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.left_routers import left

VARIABLES = {
    "n1": {"ansible_host": "192.0.2.1"},
    "n1b": {"ansible_host": "192.0.2.1"},
    "n2": {"ansible_host": "192.0.2.2"},
    "n3": {},
    "gw": {"ansible_host": "192.0.2.2"},
}


def test_a_router_on_a_host_that_left_the_group_is_named_once_for_each_machine() -> None:
    found = {"n1": ["tiny"], "n1b": ["tiny"], "n2": [], "n3": []}
    assert left(found, ["gw"], VARIABLES) == [{"host": "n1", "deployments": ["tiny"]}]


def test_a_machine_that_routes_by_another_name_has_none_that_is_left() -> None:
    """The run of that name removes what it routes no more."""
    assert left({"n2": ["tiny"], "n3": ["tiny"]}, ["gw", "n3"], VARIABLES) == []


def test_the_line_names_the_host_and_the_command_that_removes_it() -> None:
    routers_left = FilterModule().filters()["routers_left"]
    (line,) = routers_left({"n1": ["big", "tiny"]}, [], VARIABLES)
    assert line.startswith("n1 still runs the router of big, tiny,")
    assert line.endswith("ansible n1 -i INVENTORY -m fullrank.serving.router -a 'state=absent deployments=big,tiny'")
