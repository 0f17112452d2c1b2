# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults are reported: one clear message, before anything changes where that is possible, and all ranks stopped where not.

Runs after stop: the deployment is installed and down.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from testinfra.host import Host

UNIT = "fullrank-rank@tiny.service"
# what these tests are about comes after preflight and the gate between the ranks
NO_GATE = {"comm_check_gate": False}
STANDIN = {"engine_venv": "/opt/standins", "engine_dynamic_user": False, **NO_GATE}


def units(nodes: dict[str, Host]) -> list[str]:
    return [host.file(f"/etc/systemd/system/{UNIT}").content_string for host in nodes.values()]


def running(nodes: dict[str, Host]) -> list[str]:
    return [name for name, host in nodes.items() if host.service(UNIT).is_running]


@pytest.fixture(autouse=True)
def nothing_runs_afterwards(nodes: dict[str, Host]) -> Iterator[None]:
    yield
    assert running(nodes) == []


@pytest.fixture
def untouched(nodes: dict[str, Host]) -> Iterator[None]:
    before = units(nodes)
    yield
    assert units(nodes) == before


@pytest.mark.usefixtures("untouched")
def test_wrong_variables_are_refused_together_before_any_node_is_reached(play: Callable[..., Any]) -> None:
    run = play("site.yml", engine_port="eighty", engine_name="vlm", engine_args=[1])
    assert run.rc != 0
    assert "engine_port" in run.text and "eighty" in run.text
    assert re.search(r"engine_name \(.*/extravars\): vlm is none of them; write vllm, sglang or lmdeploy", run.text)
    assert "engine_args" in run.text
    assert "n1" not in run.stats["ok"]


@pytest.mark.usefixtures("untouched")
def test_an_option_that_the_engine_does_not_know_is_refused_with_the_nearest(play: Callable[..., Any]) -> None:
    run = play("site.yml", engine_args={"max_model_length": 128})
    assert run.rc != 0
    assert "engine_args.max_model_length" in run.text and "--max-model-len" in run.text


@pytest.mark.parametrize(
    ("hosts", "message"),
    [
        (
            "children: {deployments: {children: {lonely: {hosts: {}}}}}",
            "group lonely: the deployment has no hosts; name its hosts, rank 0 first",
        ),
        ("hosts: {n1: {}}", "group deployments: the inventory has no such group"),
    ],
    ids=["a deployment without hosts", "no deployments"],
)
def test_an_inventory_without_ranks_is_refused(
    hosts: str, message: str, play: Callable[..., Any], tmp_path: Path
) -> None:
    inventory = tmp_path / "hosts.yml"
    inventory.write_text(f"all: {{{hosts}}}\n")
    run = play("site.yml", inventory=inventory)
    assert run.rc != 0
    assert message in run.text


@pytest.mark.usefixtures("untouched")
def test_a_rank_that_cannot_be_reached_stops_the_others_before_they_change(
    play: Callable[..., Any], ground: Callable[..., str]
) -> None:
    ground("cut", "n2")
    try:
        run = play("site.yml", "--timeout", "5", engine_args={"max_model_len": 64})
        engines = play("playbooks/engines.yml", "--timeout", "5", engine_args={"max_model_len": 64})
        status = play("playbooks/status.yml", "--timeout", "5")
    finally:
        ground("heal", "n2")
    assert run.rc != 0
    assert "fail: node-answers on n2" in run.text
    assert engines.rc != 0
    assert "tiny rank 1 (n2): the node does not answer" in engines.text
    assert [(r["host"], r["unit"]) for r in status.outcome["status"]] == [("n1", "inactive"), ("n2", "unreachable")]


@pytest.mark.usefixtures("untouched")
def test_a_port_in_use_is_refused_with_its_owner(nodes: dict[str, Host], play: Callable[..., Any]) -> None:
    nodes["n1"].check_output("systemd-run --unit=squatter --collect python3 -m http.server 29500")
    try:
        chain = play("site.yml", engine_args={"max_model_len": 64})
        run = play("playbooks/engines.yml", engine_args={"max_model_len": 64})
    finally:
        nodes["n1"].check_output("systemctl stop squatter")
    assert chain.rc != 0
    assert "port 29500: rendezvous: taken by python3" in chain.text
    assert run.rc != 0
    assert "tiny rank 0 (n1): port 29500 is in use by pid" in run.text
    assert "python3 (unit squatter.service)" in run.text


@pytest.mark.usefixtures("untouched")
def test_missing_weights_are_refused(play: Callable[..., Any]) -> None:
    run = play("site.yml", engine_model="/srv/models/absent")
    assert run.rc != 0
    assert "tiny rank 0 (n1): /srv/models/absent/config.json does not exist" in run.text
    assert "tiny rank 1 (n2): /srv/models/absent/config.json does not exist" in run.text


@pytest.mark.usefixtures("untouched")
def test_a_copy_that_was_cut_off_is_refused(nodes: dict[str, Host], play: Callable[..., Any]) -> None:
    nodes["n1"].check_output("cp -r /srv/models/tiny /var/lib/whole")
    nodes["n2"].check_output("cp -r /srv/models/tiny /var/lib/whole && truncate -s -1 /var/lib/whole/model.safetensors")
    run = play("site.yml", engine_model="/var/lib/whole")
    for host in nodes.values():
        host.check_output("rm -r /var/lib/whole")
    assert run.rc != 0
    assert "tiny rank 1 (n2): model.safetensors of its weights is not there or not whole" in run.text
    assert "tiny rank 0 (n1): model.safetensors" not in run.text


def test_an_engine_that_dies_while_loading(nodes: dict[str, Host], play: Callable[..., Any]) -> None:
    """The real engine, and weights that it cannot read."""
    for host in nodes.values():
        host.check_output(
            'mkdir -p /var/lib/broken && echo \'{"model_type": "nothing"}\' > /var/lib/broken/config.json'
        )
    run = play("playbooks/engines.yml", engine_model="/var/lib/broken", **NO_GATE)
    assert run.rc != 0
    assert "tiny did not come up, and was stopped on all nodes that answer." in run.text
    assert "== rank 0 (n1): tiny rank 0 (n1): its unit is" in run.text
    assert "has model type `nothing`" in run.text  # the engine's own words
    assert "== rank 1 (n2): tiny rank 1 (n2): stopped waiting, because tiny rank 0 (n1)" in run.text


def test_a_rank_that_dies_takes_the_group_along(play: Callable[..., Any]) -> None:
    run = play("playbooks/engines.yml", **STANDIN, engine_env={"STANDIN": "rank1-dies"})
    assert run.rc != 0
    assert (
        "== rank 0 (n1): tiny rank 0 (n1): stopped waiting, because tiny rank 1 (n2): its unit is inactive" in run.text
    )
    assert "stand-in rank 0 loading shard 1/3" in run.text
    assert "stand-in: out of luck" in run.text


def test_a_head_that_never_becomes_ready(play: Callable[..., Any]) -> None:
    run = play("playbooks/engines.yml", **STANDIN, engine_env={"STANDIN": "never-ready"}, engine_ready_timeout=5)
    assert run.rc != 0
    assert "tiny rank 0 (n1): not ready after 5 s; the endpoint answers: HTTP 503: still loading" in run.text
    assert "stand-in rank 1 loading shard 1/3" in run.text


def test_the_next_run_brings_it_up_again(play: Callable[..., Any]) -> None:
    """A failed start leaves nothing behind that stands in the way of a good one; then it is stopped again."""
    run = play("site.yml")
    assert run.rc == 0
    assert run.outcome["deployments"]["tiny"]["ranks"] == ["n1", "n2"]
    assert play("playbooks/stop.yml").rc == 0
