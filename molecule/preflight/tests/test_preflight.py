# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The nodes are well after converge. More than ten faults, planted at once, are found in one run; healed, they are gone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from faults import ALL_FOUND, FAULTS, planted
from testinfra.host import Host

PLAYBOOK = "playbooks/preflight.yml"
UNIT = "/etc/systemd/system/fullrank-rank@three.service"


def seen(run: Any) -> set[tuple[str, str, str]]:
    """Severity, code and host of all findings that the playbook hands to its callers."""
    return {
        (found["severity"], found["code"], host)
        for found in run.outcome["preflight"]["findings"]
        for host in found["hosts"]
    }


@pytest.mark.parametrize("arguments", [(), ("--check", "--diff")], ids=["run", "check mode"])
def test_nothing_is_found_where_nothing_is_wrong(arguments: tuple[str, ...], play: Callable[..., Any]) -> None:
    run = play(PLAYBOOK, *arguments)
    assert (run.rc, run.changed) == (0, 0)
    assert run.outcome["preflight"]["verdict"] == "pass"
    assert seen(run) == set()
    assert run.outcome["preflight"]["reachability"]["n1"] == {"n2": "ok", "n3": "ok"}


def test_all_faults_are_found_in_one_run_and_gone_when_healed(
    nodes: dict[str, Host], play: Callable[..., Any], tmp_path: Path
) -> None:
    file = tmp_path / "preflight.json"
    assert len(FAULTS) >= 10
    with planted(nodes):
        run = play(PLAYBOOK, preflight_report_file=str(file))
        chain = play("site.yml")
    assert seen(run) == ALL_FOUND
    assert (run.rc != 0, run.changed) == (True, 0)
    assert len(run.stats["failures"]) == 1, "one failure for all nodes"

    report = json.loads(file.read_text())
    assert {name: report[name] for name in run.outcome["preflight"]} == run.outcome["preflight"]
    assert report["verdict"] == "fail"
    assert report["nodes"]["n1"]["fail"] == 4
    assert report["reachability"] == {
        "n1": {"n2": "path-mtu", "n3": "ok"},
        "n2": {"n1": "ok", "n3": "reach"},
        "n3": {"n1": "ok", "n2": "reach"},
    }
    assert {"skipped", "pass"} < {check["severity"] for check in report["checks"]}
    for found in report["findings"]:
        assert found["remedy"] and found["remedy"] in run.text
    assert "rendezvous: taken by python3" in run.text and "squatter.service" in run.text

    # the whole chain stops there as well, before anything is changed
    assert (chain.rc != 0, chain.changed) == (True, 0)
    assert seen(chain) == ALL_FOUND
    assert not any(host.file(UNIT).exists for host in nodes.values())

    healed = play(PLAYBOOK)
    assert (healed.rc, seen(healed)) == (0, set())


def test_a_node_that_does_not_answer_is_a_finding_beside_the_others(
    play: Callable[..., Any], ground: Callable[..., str], tmp_path: Path
) -> None:
    """The first of all nodes, too, on whose behalf the report is made."""
    file = tmp_path / "preflight.json"
    ground("cut", "n1")
    try:
        run = play(PLAYBOOK, "--timeout", "5", preflight_report_file=str(file))
    finally:
        ground("heal", "n1")
    assert run.rc != 0
    assert seen(run) == {("fail", "node-answers", "n1"), ("fail", "reach", "n2"), ("fail", "reach", "n3")}
    assert json.loads(file.read_text())["nodes"]["n1"]["fail"] == 1


def test_a_node_without_python_is_a_finding_too(nodes: dict[str, Host], play: Callable[..., Any]) -> None:
    nodes["n2"].check_output("mv /usr/bin/python3 /usr/bin/python3.away")
    try:
        run = play(PLAYBOOK)
    finally:
        nodes["n2"].check_output("mv /usr/bin/python3.away /usr/bin/python3")
    assert run.rc != 0
    assert seen(run) == {("fail", "node-answers", "n2")}


def test_weights_that_are_there_need_no_space(nodes: dict[str, Host], play: Callable[..., Any]) -> None:
    node = nodes["n2"]
    node.check_output("mkdir -p /data && mount -t tmpfs -o size=20m tmpfs /data && mkdir -p /data/models/three")
    node.check_output("head -c 16m /dev/zero > /data/models/three/model.safetensors")
    try:
        run = play(PLAYBOOK)
    finally:
        node.check_output("umount /data")
    assert (run.rc, seen(run)) == (0, set())


def test_nothing_is_written_on_a_node(nodes: dict[str, Host], play: Callable[..., Any]) -> None:
    node = nodes["n1"]
    node.check_output("touch /run/before")
    play(PLAYBOOK)
    # the journal, and what sshd and systemd themselves keep of a login
    ours = "find / -xdev -newer /run/before -not -type d -not -path '/var/log/*' -not -path '/var/lib/systemd/*'"
    assert node.check_output(ours) == ""


def test_the_network_of_the_rendezvous_is_asked_for(nodes: dict[str, Host], play: Callable[..., Any]) -> None:
    net = nodes["n1"].backend.hostname.rpartition(".")[0]
    right = play(PLAYBOOK, engine_rendezvous_network=f"{net}.0/24")
    assert (right.rc, seen(right)) == (0, set())
    assert right.outcome["preflight"]["reachability"]["n2"] == {"n1": "ok", "n3": "ok"}
    wrong = play(PLAYBOOK, engine_rendezvous_network="192.0.2.0/24")
    assert seen(wrong) == {("fail", "interface", name) for name in nodes}


def test_the_role_alone(play: Callable[..., Any], tmp_path: Path) -> None:
    playbook = tmp_path / "own.yml"
    playbook.write_text("[{hosts: three, gather_facts: false, roles: [fullrank.serving.preflight]}]\n")
    run = play(str(playbook))
    assert (run.rc, run.changed, seen(run)) == (0, 0, set())
    refused = play(str(playbook), preflight_paths=[{"path": "/data"}])
    assert refused.rc != 0
    assert "missing required arguments: bytes, purpose found in preflight_paths" in refused.text


def test_wrong_variables_are_refused_before_any_node_is_reached(play: Callable[..., Any]) -> None:
    run = play(PLAYBOOK, preflight_shm_bytes="much")
    assert run.rc != 0
    assert "preflight_shm_bytes" in run.text
    assert "n1" not in run.stats["ok"]
