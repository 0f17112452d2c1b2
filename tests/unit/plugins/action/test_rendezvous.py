# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action `rendezvous`: the place of one rank, and one full message for a deployment that cannot start."""

from __future__ import annotations

from typing import Any

import pytest
from action_runner import run_action
from ansible.errors import AnsibleError
from ansible_collections.fullrank.serving.plugins.action.rendezvous import ActionModule

HOSTS = ["n1", "n2"]


def facts(rank: int, **changes: Any) -> dict[str, Any]:
    found = [{"interface": "eth0", "address": f"192.0.2.{rank + 1}"}]
    clean: dict[str, Any] = {"without_route": [], "listeners": [], "missing": [], "incomplete": []}
    clean["serves_here"] = True
    return {"candidates": found, **clean, **changes}


BUSY = facts(1, listeners=[{"port": 8000, "pid": 7, "command": "nginx", "unit": "nginx.service"}])
UNREACHABLE = {"unreachable": True, "msg": "no route to host"}


def meet(monkeypatch: pytest.MonkeyPatch, host: str, all_facts: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    params = {"deployment": "tiny", "hosts": HOSTS[: len(all_facts)], "facts": all_facts, **more}
    return run_action(monkeypatch, ActionModule, params, inventory_hostname=host)[0]


@pytest.mark.parametrize(("host", "rank"), [("n1", 0), ("n2", 1)])
def test_each_rank_gets_its_place_and_the_heads_address(monkeypatch: pytest.MonkeyPatch, host: str, rank: int) -> None:
    assert meet(monkeypatch, host, [facts(0), facts(1)]) == {
        "changed": False,
        "findings": [],
        "rank": rank,
        "nnodes": 2,
        "interface": "eth0",
        "address": f"192.0.2.{rank + 1}",
        "head_address": "192.0.2.1",
    }


def test_one_rank_needs_no_rendezvous(monkeypatch: pytest.MonkeyPatch) -> None:
    place = meet(monkeypatch, "n1", [facts(0, candidates=[])])
    assert (place["interface"], place["address"], place["head_address"], place["findings"]) == ("", "", "", [])


def test_one_rank_reports_what_is_wrong_and_the_others_refer_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = (meet(monkeypatch, host, [facts(0), BUSY], label="tiny replica 1") for host in HOSTS)
    assert first["failed"] and second["failed"]
    assert first["msg"].startswith("deployment tiny replica 1: nothing was started or changed: 1 finding\n")
    assert "tiny replica 1 rank 1 (n2): port 8000 is in use by pid 7: nginx" in first["msg"]
    assert second["msg"] == "see rank 0 (n1)"


def test_the_first_rank_that_was_reached_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    result = meet(monkeypatch, "n2", [UNREACHABLE, facts(1)])
    assert result["failed"] and "the node does not answer: no route to host" in result["msg"]


def test_its_own_units_hold_ports_by_right(monkeypatch: pytest.MonkeyPatch) -> None:
    own = facts(1, listeners=[{"port": 8000, "pid": 7, "command": "vllm", "unit": "fullrank-rank@tiny.service"}])
    assert "failed" not in meet(monkeypatch, "n1", [facts(0), own])


def test_a_plan_goes_on_with_declared_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    result = meet(monkeypatch, "n2", [UNREACHABLE, BUSY], declared=["198.51.100.1", "198.51.100.2"])
    assert "failed" not in result
    assert (result["head_address"], result["address"]) == ("198.51.100.1", "192.0.2.2")
    assert [one["severity"] for one in result["findings"]] == ["info", "warn"]
    assert result["interface"] == "eth0"


def test_a_plan_of_silent_nodes_has_one_line_for_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    silent = [{"msg": "plan_offline is set, so no node was asked"}, {}]
    params = {"declared": ["198.51.100.1", "198.51.100.2"], "declared_interface": "bond0"}
    result = meet(monkeypatch, "n2", silent, **params)
    (found,) = result["findings"]
    assert (found["severity"], found["where"]) == ("info", "tiny")
    assert found["message"] == "2 of 2 nodes did not report (all): plan_offline is set, so no node was asked"
    assert (result["interface"], result["address"]) == ("bond0", "198.51.100.2")


@pytest.mark.parametrize("left_out", ["deployment", "hosts", "facts"])
def test_what_is_required(monkeypatch: pytest.MonkeyPatch, left_out: str) -> None:
    params: dict[str, Any] = {"deployment": "tiny", "hosts": ["n1"], "facts": [facts(0)]}
    del params[left_out]
    with pytest.raises(AnsibleError, match=f"missing required arguments: {left_out}"):
        run_action(monkeypatch, ActionModule, params)
