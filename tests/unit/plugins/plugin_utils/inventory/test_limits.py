# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a limit may leave of the inventory."""

from __future__ import annotations

from itertools import chain, combinations

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import line
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory import limits

CUT = {"chat": [["g1", "g2"], ["g3", "g4"]], "solo": [["g5"]]}
HOSTS = [host for replicas in CUT.values() for ranks in replicas for host in ranks]
EVERY_LIMIT = list(chain.from_iterable(combinations(HOSTS, size) for size in range(len(HOSTS) + 1)))


def test_a_part_of_a_replica_is_refused_with_what_to_add() -> None:
    (found,) = limits.check(CUT, ["g1", "g5"], limits.REPLICAS)
    assert line(found) == (
        "--limit: it has g1 of chat replica 0 and not g2; ranks of one group start and stop together; add g2 to --limit"
    )


@pytest.mark.parametrize("hosts", [["g1", "g2"], ["g3", "g4", "g5"], ["g5"], HOSTS, []])
def test_whole_replicas_are_accepted(hosts: list[str]) -> None:
    assert limits.check(CUT, hosts, limits.REPLICAS) == []


@pytest.mark.parametrize("whole", limits.WHOLE)
@pytest.mark.parametrize("sent", [[], ["chat"]])
def test_what_the_remedies_add_is_accepted(whole: str, sent: list[str]) -> None:
    for hosts in EVERY_LIMIT:
        more = [host for one in limits.check(CUT, hosts, whole, sent) for host in one["data"]["add"]]
        assert limits.check(CUT, [*hosts, *more], whole, sent) == []
        assert not more or set(more).isdisjoint(hosts)


def test_weights_that_go_from_node_to_node_need_all_of_them() -> None:
    replica = ["g1", "g2"]
    assert limits.check(CUT, replica, limits.DEPLOYMENTS) == []
    assert [one["data"]["add"] for one in limits.check(CUT, replica, limits.DEPLOYMENTS, ["chat"])] == [["g3", "g4"]]
    assert limits.check(CUT, ["g5"], limits.DEPLOYMENTS, ["chat"]) == []


def test_a_verb_that_looks_takes_any_host() -> None:
    assert all(limits.check(CUT, hosts, limits.NOTHING) == [] for hosts in EVERY_LIMIT)


def test_a_run_that_would_do_nothing_is_refused() -> None:
    groups = {"deployments": HOSTS, "router": ["gw"], "webui": []}
    (found,) = limits.empty(groups, ["localhost"], ["deployments", "webui"])
    assert "no host of deployments" in found["message"]
    assert limits.empty(groups, ["gw"], ["deployments", "router"]) == []
    # without such a group there is nothing to do under any limit
    assert limits.empty(groups, [], ["webui"]) == []
