# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Upgrades that work and that do not, and the way back; one replica at a time; and the made key, which is nowhere to be seen."""

from __future__ import annotations

import contextlib
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers import NET
from testinfra.host import Host

PAIR = f"http://{NET}.11:8000/v1"
TWINS = (f"http://{NET}.11:8100/v1", f"http://{NET}.12:8100/v1")
KEY_FILE = Path(__file__).resolve().parents[3] / ".cache/upgrade-twins.key.yml"
BROKEN = {"engine_version": "0.33.0", "engine_env": {"STANDIN": "never-ready"}, "engine_ready_timeout": 10}


def key() -> str:
    return str(yaml.safe_load(KEY_FILE.read_text())["engine_api_key"])


def request(url: str, api_key: str | None, **options: Any) -> urllib.request.Request:
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {api_key}"} if api_key else {})
    body = json.dumps({"model": "tiny", "prompt": "Are all ranks up?", "max_tokens": 1} | options).encode()
    return urllib.request.Request(f"{url}/completions", body, headers)


def status(url: str, api_key: str | None = None) -> int:
    """HTTP status of a completion; 0 where nothing answers."""
    try:
        with urllib.request.urlopen(request(url, api_key), timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def streamed(url: str) -> HTTPResponse:
    """An answer of which the first token has come; the stand-in keeps the rest until it is asked to release it."""
    answer = urllib.request.urlopen(request(url, key(), stream=True), timeout=300)
    assert b"first" in answer.readline()
    return answer  # type: ignore[no-any-return]


def released_while_draining(host: Host, answer: HTTPResponse) -> str:
    """The rest of the answer, asked for when the replica takes nothing new any more."""
    deadline = time.monotonic() + 300
    while "draining" not in host.run("fullrank-check twins").stdout:
        assert time.monotonic() < deadline, "it was not drained"
        time.sleep(0.5)
    with urllib.request.urlopen(request(TWINS[0], key(), prompt="release"), timeout=30):
        return answer.read().decode()


def runs(nodes: dict[str, Host], deployment: str) -> list[tuple[str, str]]:
    """Of each rank what runs: engine with its version as its unit has it, and its process."""
    shown = [
        host.check_output(f"systemctl show --value --property=Description,MainPID fullrank-rank@{deployment}").split(
            "\n"
        )
        for host in nodes.values()
    ]
    return [
        (next(s for s in one if "rank" in s).rpartition(", ")[2], next(s for s in one if s.isdigit())) for one in shown
    ]


def versions(nodes: dict[str, Host], deployment: str) -> set[str]:
    return {version for version, _ in runs(nodes, deployment)}


@contextlib.contextmanager
def watched() -> Iterator[list[tuple[int, int]]]:
    """Which replicas answered, a few times a second, while the block runs."""
    seen: list[tuple[int, int]] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.2):
            seen.append((status(TWINS[0], key()), status(TWINS[1], key())))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def test_the_key_was_made_and_is_needed(nodes: dict[str, Host]) -> None:
    assert KEY_FILE.stat().st_mode & 0o777 == 0o600
    for url in TWINS:
        assert [status(url, sent) for sent in (None, "sk-another", key())] == [401, 401, 200]
    assert status(PAIR) == 200


def test_the_key_is_in_files_of_root_and_nowhere_else(nodes: dict[str, Host]) -> None:
    for host in nodes.values():
        seen = host.check_output(
            "ps axww; journalctl --no-pager --boot; systemctl cat 'fullrank-*'; systemctl show 'fullrank-*'"
        )
        assert key() not in seen
        found = host.run(f"grep -rlF {key()} /etc /run /var/lib /usr/local").stdout.split()
        assert sorted(found) == ["/etc/fullrank/twins.secret.env", "/etc/fullrank/twins.supervisor.secret.json"]
        assert {host.file(path).mode for path in found} == {0o600}


def test_a_run_shows_no_key_however_much_it_prints(play: Callable[..., Any]) -> None:
    run = play("site.yml", "-vvvv", "--diff")
    assert (run.rc, run.changed) == (0, 0)
    assert key() not in run.text
    assert all(key() not in json.dumps(event) for event in run.events)


def test_check_mode_tells_of_an_upgrade_and_makes_none(nodes: dict[str, Host], play: Callable[..., Any]) -> None:
    before = runs(nodes, "pair"), runs(nodes, "twins")
    run = play("playbooks/upgrade.yml", "--check", "--diff", engine_version="0.32.0")
    assert run.rc == 0
    assert run.changed == 4 * 3 + 2  # each rank: write, stop, start; each replica: drain
    assert "+Description=pair: rank 0 of 2, vllm 0.32.0" in run.text
    assert (runs(nodes, "pair"), runs(nodes, "twins")) == before


def test_what_the_new_version_does_not_know_is_refused_before_anything_is_touched(
    nodes: dict[str, Host], play: Callable[..., Any]
) -> None:
    before = runs(nodes, "pair"), runs(nodes, "twins")
    run = play("playbooks/upgrade.yml", engine_version="0.32.0", engine_args={"max_modle_len": 256})
    assert (run.rc, run.changed) == (2, 0)
    assert "vllm 0.32.0 has no option --max-modle-len" in run.text
    assert (runs(nodes, "pair"), runs(nodes, "twins")) == before


def test_there_is_nothing_to_roll_back_to_yet(nodes: dict[str, Host], play: Callable[..., Any]) -> None:
    before = runs(nodes, "pair")
    run = play("playbooks/rollback.yml", "-l", "pair")
    assert (run.rc, run.changed) == (2, 0)
    assert "no earlier launch of pair is kept on this node" in run.text
    assert runs(nodes, "pair") == before


def test_an_upgrade_takes_one_replica_after_the_other(nodes: dict[str, Host], play: Callable[..., Any]) -> None:
    with watched() as seen, ThreadPoolExecutor() as clients, streamed(TWINS[0]) as answer:
        rest = clients.submit(released_while_draining, nodes["n1"], answer)
        run = play("playbooks/upgrade.yml", engine_version="0.32.0")
    assert run.rc == 0
    assert rest.result().endswith("data: [DONE]\n\n")
    assert "pair: vllm 0.31.0 -> vllm 0.32.0" in run.text
    assert "twins replica 1: vllm 0.31.0 -> vllm 0.32.0" in run.text
    assert versions(nodes, "pair") == versions(nodes, "twins") == {"vllm 0.32.0"}
    assert status(PAIR) == 200
    # each was away for a while, and never both
    assert all(any(look[replica] != 200 for look in seen) for replica in (0, 1))
    assert all(200 in look for look in seen)
    again = play("playbooks/upgrade.yml", engine_version="0.32.0")
    assert (again.rc, again.changed) == (0, 0)
    assert key() not in run.text + again.text


@pytest.mark.parametrize("deployment", ["pair", "twins"])
def test_a_version_that_does_not_become_ready_goes_by_itself(
    nodes: dict[str, Host], play: Callable[..., Any], deployment: str
) -> None:
    before = runs(nodes, deployment)
    with watched() as seen:
        run = play("playbooks/upgrade.yml", "-l", deployment, **BROKEN)
    assert run.rc == 2
    label = {"pair": "pair", "twins": "twins replica 0"}[deployment]
    assert f"{label} could not be upgraded to vllm 0.33.0; it is back with vllm 0.32.0, which answers" in run.text
    assert "not ready after 10 s" in run.text
    assert versions(nodes, deployment) == {"vllm 0.32.0"}
    assert all(host.run(f"fullrank-check {deployment}").rc == 0 for host in nodes.values())
    if deployment == "twins":
        assert "twins replica 1 was left as it is, because of n1_twin" in run.text
        assert runs(nodes, deployment)[1] == before[1]
        assert all(200 in look for look in seen)
        assert status(TWINS[0], key()) == 200
    else:
        assert status(PAIR) == 200
    settled = play("playbooks/upgrade.yml", "-l", deployment, engine_version="0.32.0")
    assert (settled.rc, settled.changed) == (0, 0)


def test_a_rollback_by_hand(nodes: dict[str, Host], play: Callable[..., Any]) -> None:
    predicted = play("playbooks/rollback.yml", "--check", "--diff", engine_version="0.32.0")
    assert (predicted.rc, predicted.changed) == (0, 4 * 3 + 2)
    assert "-Description=pair: rank 0 of 2, vllm 0.32.0" in predicted.text
    assert versions(nodes, "pair") == {"vllm 0.32.0"}
    with watched() as seen:
        run = play("playbooks/rollback.yml", engine_version="0.32.0")
    assert run.rc == 0
    assert "pair: back to vllm 0.31.0. The inventory still has vllm 0.32.0" in run.text
    assert versions(nodes, "pair") == versions(nodes, "twins") == {"vllm 0.31.0"}
    assert status(PAIR) == 200 and all(status(url, key()) == 200 for url in TWINS)
    assert all(200 in look for look in seen)
    before = runs(nodes, "pair"), runs(nodes, "twins")
    again = play("playbooks/rollback.yml", engine_version="0.32.0")
    assert (again.rc, again.changed) == (0, 0)
    # the inventory of this scenario has 0.31.0: what was rolled back is what it would start
    assert play("playbooks/upgrade.yml").changed == 0
    assert (runs(nodes, "pair"), runs(nodes, "twins")) == before
    assert key() not in run.text + predicted.text


def test_a_key_that_is_taken_away_is_gone(nodes: dict[str, Host], play: Callable[..., Any]) -> None:
    assert (
        play("playbooks/engines.yml", "-l", "twins", engine_api_key_required=False, engine_api_key_file="/nowhere").rc
        == 0
    )
    assert status(TWINS[0]) == 200
    for host in nodes.values():
        assert not host.file("/etc/fullrank/twins.secret.env").exists
        # in the previous launch, for a rollback
        assert host.run(f"grep -rlF {key()} /etc /run /var/lib").stdout.split() == ["/etc/fullrank/twins.previous.json"]


def former(host: Host) -> list[str]:
    """What is left of the first versions' names of `pair`."""
    units = host.check_output("systemctl list-units --all --plain --no-legend 'fullrank-pair*' | cut -d' ' -f1").split()
    places = "/etc/fullrank /etc/systemd/system /run/systemd/system /usr/local/lib/fullrank"
    found = host.check_output(
        f"find {places} -name 'pair.group*' -o -name 'fullrank-pair*' -o -path /usr/local/lib/fullrank/pair"
    )
    return [*units, *found.split()]


def test_an_engine_under_its_former_name_goes_on_and_starts_under_todays(
    nodes: dict[str, Host], play: Callable[..., Any]
) -> None:
    script = (Path(__file__).parent / "former_names.sh").read_text()
    assert play("playbooks/stop.yml", "-l", "pair").rc == 0
    with ThreadPoolExecutor() as pool:
        laid = list(pool.map(lambda host: host.run(f"sh -s pair <<'END'\n{script}\nEND"), nodes.values()))
    assert [one.rc for one in laid] == [0, 0], laid
    for host in nodes.values():
        host.check_output("timeout 120 sh -c 'until fullrank-check pair; do sleep 1; done'")
        assert not host.service("fullrank-supervisor@pair").is_running
    show = "systemctl show --value --property=MainPID,InvocationID fullrank-pair.service"
    before = [host.check_output(show) for host in nodes.values()]

    predicted = play("playbooks/engines.yml", "--check", "--diff", "-l", "pair")
    assert (predicted.rc, predicted.changed) == (0, 2)  # files and supervisors, and no restart
    assert [host.check_output(show) for host in nodes.values()] == before
    run = play("playbooks/engines.yml", "-l", "pair")
    assert (run.rc, run.changed) == (0, 2)
    assert [host.check_output(show) for host in nodes.values()] == before
    for host in nodes.values():
        assert former(host) == ["fullrank-pair.service", "/run/systemd/system/fullrank-pair.service"]
        assert host.service("fullrank-supervisor@pair").is_enabled and host.run("fullrank-check pair").rc == 0
    assert play("playbooks/engines.yml", "-l", "pair").changed == 0
    rows = play("playbooks/status.yml").outcome["status"]
    assert {row["health"] for row in rows} == {"ready"}

    assert nodes["n2"].run("systemctl kill --signal=SIGKILL fullrank-pair.service").rc == 0
    for host in nodes.values():
        host.check_output(
            "timeout 120 sh -c 'until systemctl -q is-active fullrank-rank@pair && fullrank-check pair; do sleep 1; done'"
        )
        assert former(host) == []
    assert play("playbooks/engines.yml", "-l", "pair").changed == 0


def test_removal_leaves_nothing(nodes: dict[str, Host], play: Callable[..., Any]) -> None:
    run = play("playbooks/remove.yml")
    assert (run.rc, run.changed) == (0, 4)
    for host in nodes.values():
        left = "find /etc/fullrank /usr/local/lib/fullrank /var/lib/fullrank -name '*twins*' -o -name '*pair*'"
        assert host.run(left).stdout == "", "folders that are empty are gone"
    assert play("playbooks/remove.yml").changed == 0
    # the key is the operator's
    assert KEY_FILE.exists()
    KEY_FILE.unlink()
