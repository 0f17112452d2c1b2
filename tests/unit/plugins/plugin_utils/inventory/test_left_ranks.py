# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ranks that an earlier inventory left on nodes."""

from __future__ import annotations

from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory import left_ranks

VARIABLES = {
    "n1": {"ansible_host": "192.0.2.11"},
    "n1_again": {"ansible_host": "192.0.2.11"},
    "n2": {"ansible_host": "192.0.2.12"},
    "n3": {},
}
CUT = {"pair": [["n1", "n2"]], "twin": [["n1_again"]]}


def test_what_the_inventory_has_on_a_machine_by_any_of_its_names_is_not_left() -> None:
    assert left_ranks.left({"n1": ["pair", "twin"], "n1_again": ["pair", "twin"]}, CUT, VARIABLES) == []
    assert left_ranks.expected("n1_again", CUT, VARIABLES) == ["pair", "twin"]
    assert left_ranks.expected("n3", CUT, VARIABLES) == []


def test_a_renamed_deployment_and_a_host_that_was_taken_out_are_two_things() -> None:
    rows = left_ranks.left({"n1": ["solo"], "n1_again": ["solo"], "n3": ["pair"]}, CUT, VARIABLES)
    assert [(one["host"], one["deployment"], one["known"]) for one in rows] == [
        ("n1", "solo", False),
        ("n3", "pair", True),
    ]
    assert left_ranks.lines(rows) == [
        "n1 has a rank of deployment solo, and it is not in this inventory; remove it: playbooks/remove.yml -e deployment=solo",
        "n3 has a rank of deployment pair, and n3 is no host of it any more; remove it: "
        "playbooks/remove.yml -e deployment=pair -l n3",
    ]
