# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ranks of one replica that are not alike."""

from __future__ import annotations

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import line
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory import equal
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.shape import Deployment

TEAM = Deployment("team_a", ("n1", "n2"), ("chat", "code"))
BELOW = {"chat": ["n1"], "code": ["n2"]}


def test_models_merged_by_a_group_of_groups_are_refused_with_both_ways_out() -> None:
    variables = {"n1": {"engine_model": "/m/chat"}, "n2": {"engine_model": "/m/code"}}
    (found,) = equal.check(TEAM, [["n1", "n2"]], variables, BELOW)
    assert line(found) == (
        "engine_model of team_a: it differs between ranks of one replica: /m/chat on n1, /m/code on n2; "
        "write it once, for group team_a; where chat, code are models of their own, make each a child group of deployments: "
        "team_a is one deployment of all its hosts"
    )


def test_replicas_may_differ_and_what_is_not_known_does_not() -> None:
    variables = {"n1": {"engine_version": "0.31.0", "engine_port": 8000}, "n2": {"engine_version": "0.32.0"}}
    assert equal.check(TEAM, [["n1"], ["n2"]], variables, {}) == []
    assert [one["data"]["variable"] for one in equal.check(TEAM, [["n1", "n2"]], variables, {})] == ["engine_version"]


def test_racks_below_a_deployment_only_write_down_its_hosts() -> None:
    same = {host: {"engine_model": "/m/chat"} for host in ("n1", "n2")}
    assert equal.check(TEAM, [["n1", "n2"]], same, BELOW) == []
