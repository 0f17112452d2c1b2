# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A change is reported before it is made, and is taken over while requests run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from clients import KEY, PAIR, TEAM_KEY, WIDE, ask, ready, stream, until
from testinfra.host import Host

CONF = "/etc/fullrank/router/wide.cfg"


def test_check_mode_reports_what_would_change_and_changes_nothing(
    play: Callable[..., Any], nodes: dict[str, Host]
) -> None:
    run = play("playbooks/router.yml", "--check", "--diff", router_timeout=1800)
    assert run.rc == 0 and run.changed == 1
    assert "+    timeout server 1800s" in run.text
    assert "3600s" in nodes["n3"].file(CONF).content_string


def test_a_change_is_taken_over_while_an_answer_is_on_its_way(play: Callable[..., Any], nodes: dict[str, Host]) -> None:
    answer = stream(WIDE)
    assert b"first" in answer.readline()
    run = play("playbooks/router.yml", router_timeout=1800)
    assert run.rc == 0 and run.changed == 1
    assert "1800s" in nodes["n3"].file(CONF).content_string
    assert ask(WIDE, "release")[0] == 200
    assert b"[DONE]" in answer.read()
    again = play("playbooks/router.yml", router_timeout=1800)
    assert again.rc == 0 and again.changed == 0
    assert again.outcome["routers"]["n3"]["wide"]["servers"] == {"n1_wide": {"ready": True, "summary": "ready"}}


def test_a_key_is_revoked_and_given_again_and_no_engine_is_touched(
    play: Callable[..., Any], nodes: dict[str, Host]
) -> None:
    engines = [
        nodes[name].check_output("systemctl show --property=InvocationID fullrank-rank@pair") for name in ("n1", "n2")
    ]
    assert ask(PAIR, key=TEAM_KEY)[0] == 200
    run = play("playbooks/router.yml", router_keys={})
    assert run.rc == 0 and TEAM_KEY not in run.text
    assert ask(PAIR, key=TEAM_KEY)[0] == 401 and ask(PAIR)[0] == 200
    run = play("playbooks/router.yml")
    assert run.rc == 0 and TEAM_KEY not in run.text and KEY not in run.text
    assert ask(PAIR, key=TEAM_KEY)[0] == 200
    again = [
        nodes[name].check_output("systemctl show --property=InvocationID fullrank-rank@pair") for name in ("n1", "n2")
    ]
    assert again == engines


def test_a_port_that_somebody_holds_is_refused_before_anything_changes(
    play: Callable[..., Any], nodes: dict[str, Host]
) -> None:
    assert nodes["n3"].run("systemd-run --unit=somebody /usr/bin/python3 -m http.server 8090").rc == 0
    before = nodes["n3"].run("sha256sum /etc/fullrank/router/*").stdout
    try:
        run = play("playbooks/router.yml", router_deployments=["pair"], router_port=8090)
    finally:
        nodes["n3"].run("systemctl stop somebody.service")
    assert run.rc != 0
    assert "router_port of pair: port 8090 is in use by python3" in run.text
    assert nodes["n3"].run("sha256sum /etc/fullrank/router/*").stdout == before
    assert ready(PAIR)["ready"]


def test_a_stopped_replica_gets_no_requests_until_it_is_started(play: Callable[..., Any]) -> None:
    assert play("playbooks/stop.yml", "--limit", "n2").rc == 0
    until(lambda: ready(PAIR)["servers"] == {"n1": True, "n2": False})
    assert {ask(PAIR)[1]["system_fingerprint"] for _ in range(6)} == {"n1"}
    run = play("playbooks/restart.yml", "--limit", "n2")
    assert run.rc == 0
    assert run.outcome["deployments"]["pair"]["endpoint"] == f"{PAIR}/v1"
    until(lambda: ready(PAIR)["servers"]["n2"])
    assert {ask(PAIR)[1]["system_fingerprint"] for _ in range(8)} == {"n1", "n2"}


def test_what_is_no_longer_routed_is_removed(play: Callable[..., Any], nodes: dict[str, Host]) -> None:
    run = play("playbooks/router.yml", router_deployments=["pair"])
    assert run.rc == 0
    assert not nodes["n3"].file("/etc/systemd/system/fullrank-router@wide.service").exists
    assert ask(WIDE)[0] == 0 and ask(PAIR)[0] == 200


def test_nothing_is_left_of_what_is_removed(play: Callable[..., Any], nodes: dict[str, Host]) -> None:
    assert play("playbooks/remove.yml").rc == 0
    router = nodes["n3"]
    assert router.run("ls /etc/systemd/system | grep fullrank").stdout == ""
    for path in ("/etc/fullrank/router", "/usr/local/lib/fullrank/router", "/opt/fullrank-smg"):
        assert not router.file(path).exists
    assert router.run("pgrep -c haproxy").stdout.strip() == "0"
    again = play("playbooks/remove.yml")
    assert again.rc == 0 and again.changed == 0
