# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every deployment has one endpoint, and all its replicas answer behind it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from clients import CACHED, KEY, NET, PAIR, ROUTER, TEAM_KEY, WIDE, ask, call, ready, stream
from testinfra.host import Host


def test_both_replicas_answer_behind_one_address() -> None:
    assert ready(PAIR) == {"deployment": "pair", "ready": True, "servers": {"n1": True, "n2": True}}
    answers = [ask(PAIR) for _ in range(8)]
    assert {status for status, _ in answers} == {200}
    assert {answer["system_fingerprint"] for _, answer in answers} == {"n1", "n2"}


def test_three_deployments_on_the_same_machines_answer_at_endpoints_of_their_own() -> None:
    assert ready(CACHED)["servers"] == {"n1_cached": True, "n2_cached": True}
    assert ready(WIDE)["servers"] == {"n1_wide": True}
    for endpoint in (CACHED, WIDE):
        assert ask(endpoint)[0] == 200


def test_keys_are_asked_for_at_the_router_and_lie_nowhere_but_in_their_files(nodes: dict[str, Host]) -> None:
    for endpoint in (PAIR, CACHED, WIDE):
        assert ask(endpoint, key=None)[0] == 401
        assert ask(endpoint, key="wrong")[0] == 401
    assert ask(PAIR, key=TEAM_KEY)[0] == 200
    assert ask(WIDE, key=TEAM_KEY)[0] == 401
    router = nodes["n3"]
    found = router.run(
        f"grep -rlE '{KEY}|{TEAM_KEY}' /etc/fullrank /etc/systemd/system /usr/local/lib/fullrank /run/fullrank-router"
    )
    assert set(found.stdout.split()) == {f"/etc/fullrank/router/{name}.engine" for name in ("pair", "cached", "wide")}
    for name in ("pair.engine", "pair.keys", "wide.pem"):
        file = router.file(f"/etc/fullrank/router/{name}")
        assert (file.user, file.group, file.mode) == ("root", "fullrank-keys", 0o640)
    assert router.run(f"ps -eo args | grep -v grep | grep -E '{KEY}|{TEAM_KEY}'").rc == 1
    assert router.run(f"journalctl --no-pager | grep -cE '{KEY}|{TEAM_KEY}'").stdout.strip() == "0"


def test_requests_are_counted_by_the_name_of_their_key(nodes: dict[str, Host]) -> None:
    assert ask(PAIR, key=TEAM_KEY)[0] == 200
    shown = nodes["n3"].check_output("curl -s --max-time 5 http://127.0.0.1:28080/metrics")
    assert 'fullrank_router_requests_total{key="team-a",code="200"}' in shown
    assert 'fullrank_router_requests_total{key="none",code="401"}' in shown
    assert KEY not in shown and TEAM_KEY not in shown
    assert call(f"http://{ROUTER}:28080/metrics", key=None, timeout=5)[0] == 0


def test_control_paths_reach_no_engine() -> None:
    for path in ("invocations", "tokenize", "metrics", "scale_elastic_ep", "flush_cache", "health", "v1/../metrics"):
        for body in (None, {}):
            assert call(f"{PAIR}/{path}", body)[0] in (400, 404)


@pytest.mark.parametrize("unit", ["fullrank-router@pair", "fullrank-router@cached", "fullrank-smg@cached"])
def test_units_are_confined(nodes: dict[str, Host], unit: str) -> None:
    reported = nodes["n3"].check_output(f"systemd-analyze security --no-pager {unit}.service | tail -1")
    print(unit, reported)
    assert float(reported.split(":")[1].split()[0]) <= 5.0


@pytest.mark.parametrize(("endpoint", "port"), [(WIDE, 8002), (CACHED, 8001)])
def test_a_token_comes_before_the_answer_is_complete(endpoint: str, port: int) -> None:
    answer = stream(endpoint)
    first = answer.readline()
    assert b"first" in first
    # the engine sends no more until it is asked for this: whoever buffers would have waited for ever
    for node in (11, 12) if endpoint == CACHED else (11,):  # whichever was chosen
        assert ask(f"http://{NET}.{node}:{port}", "release")[0] == 200
    rest = answer.read()
    assert b"last" in rest and rest.rstrip().endswith(b"[DONE]")


def test_clients_cannot_change_smg() -> None:
    for path in ("workers", "add_worker?url=http://198.51.100.1", "flush_cache", "v1/tokenizers"):
        assert call(f"{CACHED}/{path}")[0] == 404
    assert call(f"{CACHED}/v1/models")[1]["data"][0]["id"] == "tiny"


def test_smg_listens_for_the_router_alone(nodes: dict[str, Host]) -> None:
    assert (
        nodes["n3"]
        .run("curl -s --max-time 5 http://127.0.0.1:18081/workers")
        .stdout.count('"url":"http://127.0.0.1:1808')
        == 2
    )
    assert call(f"http://{ROUTER}:18081/workers", timeout=5)[0] == 0


def test_the_haproxy_of_the_distribution_was_not_started(nodes: dict[str, Host]) -> None:
    service = nodes["n3"].service("haproxy")
    assert not service.is_running and not service.is_enabled
    assert nodes["n3"].run("systemctl --failed --no-legend | grep -E 'haproxy|fullrank'").stdout == ""


def test_a_second_run_changes_nothing_and_hands_over_the_routers_address(play: Callable[..., Any]) -> None:
    # molecule ran it with a copy of the inventory: the certificate that the router made lies beside that one
    assert play("playbooks/router.yml").changed <= 1
    run = play("molecule/router/converge.yml")
    assert run.rc == 0 and run.changed == 0
    assert {name: one["endpoint"] for name, one in run.outcome["deployments"].items()} == {
        "pair": f"{PAIR}/v1",
        "cached": f"{CACHED}/v1",
        "wide": f"{WIDE}/v1",
    }
    pair = run.outcome["deployments"]["pair"]
    assert pair["ranks"] == ["n1", "n2"]
    second = pair["replicas"][1]
    assert second["name"] == "n2"
    assert second["url"] == f"http://{NET}.12:8000/v1" and second["ready"] == f"http://{NET}.12:29600/ready"


def test_status_shows_replicas_and_routers(play: Callable[..., Any]) -> None:
    run = play("playbooks/status.yml")
    assert run.rc == 0
    rows = {(row["deployment"], row["replica"], row["rank"]): row for row in run.outcome["status"]}
    assert set(rows) == {
        ("pair", 0, 0),
        ("pair", 1, 0),
        ("cached", 0, 0),
        ("cached", 1, 0),
        ("wide", 0, 0),
        ("wide", 0, 1),
    }
    assert {row["health"] for row in rows.values()} == {"ready"}
    assert "DEPLOYMENT  REPLICA  RANK" in run.text
    assert f"pair is found at {PAIR}/v1 (n1 ready, n2 ready)" in run.text


def test_the_endpoints_are_as_they_should_be(play: Callable[..., Any]) -> None:
    """Also a router with a certificate of its own, and a replica of two ranks whose router is elsewhere."""
    checks = play("playbooks/verify.yml", "--limit", "localhost,wide").outcome["verify"]["checks"]
    silent = [one for one in checks if one["code"] == "endpoint-silent"]
    assert [one["severity"] for one in silent] == ["pass"] and "n2_wide" in silent[0]["where"]
    routers = [one for one in checks if " by the router at " in one["where"]]
    assert {one["code"] for one in routers} > {"completion", "streaming", "key-required"}
    assert not [one for one in checks if one["severity"] == "fail"]
