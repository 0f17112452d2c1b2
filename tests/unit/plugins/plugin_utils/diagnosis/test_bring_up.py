# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's side of the chain: inventory, rendezvous, waiting, reports."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.plugin_utils.diagnosis import bring_up, status, tables, waiting
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory import rendezvous, shape
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.roles import options
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.shape import Deployment

CHECKOUT = Path(__file__).resolve().parents[5]


def codes(findings: list[dict[str, str]]) -> list[tuple[str, str]]:
    return [(one["code"], one["where"]) for one in findings]


@pytest.mark.parametrize(
    ("deployments", "expected"),
    [
        (None, [("no-deployment", "group deployments")]),
        ([], [("no-deployment", "group deployments")]),
        ([Deployment("a", ("n1", "n2"))], []),
        ([Deployment("a", ()), Deployment("b", ("n1",))], [("empty-deployment", "group a")]),
        ([Deployment("a", ("n1",)), Deployment("b", ("n1",))], [("host-in-two-deployments", "host n1")]),
    ],
)
def test_the_shape_of_the_inventory(deployments: list[Deployment] | None, expected: list[tuple[str, str]]) -> None:
    assert codes(shape.check(deployments, {})) == expected


@pytest.mark.parametrize("deployments", [None, []])
def test_nodes_can_be_prepared_without_a_deployment(deployments: list[Deployment] | None) -> None:
    assert shape.check(deployments, {}, required=False) == []


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        (None, [1], "engine_gpus does not divide its GPUs"),
        ([0, 1], [1, 2], "GPU 1 of 192.0.2.1 is also used by a"),
    ],
)
def test_two_deployments_on_one_machine_share_no_gpu(first: Any, second: Any, words: str) -> None:
    variables = {
        "x": {"ansible_host": "192.0.2.1", "engine_gpus": first},
        "y": {"ansible_host": "192.0.2.1", "engine_gpus": second},
    }
    (found,) = shape.check([Deployment("a", ("x",)), Deployment("b", ("y",))], variables)
    assert found["code"] == "gpus-used-twice" and words in found["message"]


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([2, 2, 2, 2], []),
        ([4, 4, 4, 4], []),
        ([3, 3, 3, 3], [("replicas-uneven", "engine_replicas of a")]),
        ([0, 0, 0, 0], [("replicas-uneven", "engine_replicas of a")]),
        ([2, 2, 2, 1], [("replicas-differ", "engine_replicas of a")]),
        (["two"] * 4, []),  # its range refuses it
    ],
)
def test_replicas_are_equal_and_known_to_all_hosts(counts: list[Any], expected: list[tuple[str, str]]) -> None:
    variables = {f"n{rank}": {"engine_replicas": count} for rank, count in enumerate(counts)}
    found = shape.check([Deployment("a", tuple(variables))], variables)
    assert codes(found) == expected
    assert not found or "1, 2, 4" in found[0]["remedy"] or "write it once" in found[0]["remedy"]


def test_a_machine_holds_one_rank_of_a_deployment() -> None:
    variables = {"x": {"ansible_host": "192.0.2.1"}, "y": {"ansible_host": "192.0.2.1"}}
    found = shape.check(
        [Deployment("a", ("x", "y"))], {name: one | {"engine_device": "cpu"} for name, one in variables.items()}
    )
    assert codes(found) == [("machine-twice", "group a")]


def facts(address: str = "10.0.0.1", interface: str = "eth0", **more: Any) -> dict[str, Any]:
    ways = [{"interface": interface, "address": address}] if address else []
    clean = {"without_route": [], "listeners": [], "missing": [], "incomplete": [], "serves_here": True}
    return {"candidates": ways, **clean, **more}


@pytest.mark.parametrize("name", ["a b", "-a", "x" * 201, "webui", "router", "localhost", "all", "gpu_nodes", "a.key"])
def test_a_deployment_that_no_unit_can_be_called_after(name: str) -> None:
    ((code, where),) = codes(shape.check([Deployment(name, ("x",))], {}))
    assert code == "name-of-deployment" and where.startswith(f"group {name[:37]}") and len(where) <= 46


OWN = ("fullrank-rank@tiny.service", "fullrank-supervisor@tiny.service")


def agree(*reported: dict[str, Any], network: str = "") -> tuple[list[rendezvous.Place], list[dict[str, str]]]:
    hosts = [f"n{i + 1}" for i in range(len(reported))]
    return rendezvous.agree("tiny", OWN, network, hosts, reported)


def test_ranks_follow_the_order_of_the_hosts_and_names_may_differ_per_node() -> None:
    places, findings = agree(facts("10.0.0.1", "eth0"), facts("10.0.0.2", "bond0"))
    assert findings == []
    assert places == [rendezvous.Place("n1", 0, "eth0", "10.0.0.1"), rendezvous.Place("n2", 1, "bond0", "10.0.0.2")]


def test_one_rank_meets_no_other() -> None:
    assert agree(facts("")) == ([rendezvous.Place("n1", 0)], [])


LISTENER = {"port": 29500, "pid": 7, "command": "python3 -m http.server 29500", "unit": "web.service"}


@pytest.mark.parametrize(
    ("reported", "network", "expected", "words"),
    [
        ({"unreachable": True, "msg": "No route to host"}, "", "rank-unreachable", "No route to host"),
        ({}, "", "rank-unreachable", "it was not contacted in this run"),
        (facts("", without_route=["10.0.0.1"]), "", "no-route", "no route to 10.0.0.1"),
        (facts(""), "10.9.0.0/16", "rendezvous-network", "10.9.0.0/16 and has none"),
        (
            facts(candidates=[{"interface": "a", "address": "1"}, {"interface": "b", "address": "2"}]),
            "",
            "several-rendezvous-interfaces",
            "a 1, b 2",
        ),
        (facts("10.0.0.2", listeners=[LISTENER]), "", "port-in-use", "port 29500 is in use by pid 7"),
        (facts("10.0.0.2", listeners=[{**LISTENER, "pid": 0, "unit": ""}]), "", "port-in-use", "could not be seen"),
        (facts("10.0.0.2", missing=["/m/config.json"]), "", "missing-file", "/m/config.json does not exist"),
        (
            facts("10.0.0.2", incomplete=["a.safetensors", "b.safetensors"]),
            "",
            "incomplete-weights",
            "a.safetensors of its weights is not there or not whole, and 1 more",
        ),
        (facts("10.0.0.1"), "", "same-address", "10.0.0.1 of rank 0 (n1)"),
    ],
)
def test_what_prevents_a_rendezvous(reported: dict[str, Any], network: str, expected: str, words: str) -> None:
    _, findings = agree(facts(), reported, network=network)
    assert codes(findings) == [(expected, "tiny rank 1 (n2)")]
    assert words in findings[0]["message"]
    assert findings[0]["remedy"]


def test_a_misspelt_variable_is_refused_and_the_users_own_is_not() -> None:
    roles = {"engine": ["engine_version", "engine_port"], "docker": ["docker_data_root"]}
    written = ["engine_versoin", "engine_port", "docker_data_rot", "engine_room_of_ours", "ansible_host", "engin_port"]
    found = shape.misspelt(written, roles, "{} of a".format)
    assert [(one["message"], one["remedy"].split(",")[0]) for one in found] == [
        ("nothing reads docker_data_rot", "write docker_data_root"),
        ("nothing reads engin_port", "write engine_port"),
        ("nothing reads engine_versoin", "write engine_version"),
    ]


def test_what_roles_return_is_no_misspelt_variable() -> None:
    """After the role engine a host has engine_rendezvous, beside the option engine_rendezvous_port."""
    texts = [path.read_text() for path in CHECKOUT.glob("roles/*/tasks/*.yml")]
    returned = {name for text in texts for name in re.findall(r"^ +register: ([a-z]\w*)$", text, re.MULTILINE)}
    assert returned == shape.RETURNED
    assert shape.misspelt(returned, options(), "{} of a".format) == []
    assert shape.misspelt(["engine_rendezvous_prt"], options(), "{} of a".format)


@pytest.mark.parametrize("unit", OWN)
def test_the_deployments_own_ports_are_in_nobodys_way(unit: str) -> None:
    own = {**LISTENER, "unit": unit}
    assert agree(facts(listeners=[own]), facts("10.0.0.2"))[1] == []


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["(EngineCore pid=226) INFO 11-22 19:54:22 [core.py:144] Loading shard 1/3"], "Loading shard 1/3"),
        (["[2026-11-22 19:54:22 TP0] Load weight begin."], "Load weight begin."),
        (
            ["\x1b[32mINFO\x1b[0m:     Application startup complete.", "", "   "],
            "INFO:     Application startup complete.",
        ),
        (["x" * 200], "x" * 89 + "…"),
        (
            ["Loading shard 1/3", "W1122 20:12:26.309000 710 torch/x.py:53] Triton not available", "  return func()"],
            "Loading shard 1/3",
        ),
        (["Started fullrank-rank@tiny.service - tiny: rank 0 of 2, vllm 0.32.0."], ""),
        (["(APIServer pid=1) WARNING 11-22 19:54:22 [a.py:1] Found ulimit of 20000"], ""),
        ([], ""),
    ],
)
def test_the_last_words_of_a_rank(lines: list[str], words: str) -> None:
    assert waiting.last_words(lines) == words


def info(active: str = "active", **more: Any) -> dict[str, Any]:
    state = {"exists": True, "active": active, "enabled": True, "since": 1000, "pid": 7}
    supervisor = {"exists": True, "active": "active", "enabled": True, "result": "exit-code", "exit_status": 1}
    group = {"ready": True, "summary": "ready", "failure": None}
    return {
        "rank_state": state,
        "supervisor": {**supervisor, **more.pop("supervisor", {})},
        "group": {**group, **more.pop("group", {})},
        **more,
    }


def test_who_waits_gives_up_at_the_first_failure_and_without_a_supervisor() -> None:
    assert waiting.given_up(info(group={"ready": False})) == ""
    assert waiting.given_up(info(supervisor={"active": "activating"})) == ""
    assert waiting.given_up(info(group={"failure": {"rank": 1, "why": "its unit is failed"}})) == "its unit is failed"
    ended = info(supervisor={"active": "failed"})
    assert waiting.given_up(ended) == "its supervisor is failed (exit-code, exit status 1)"


def test_status_rows_and_their_table() -> None:
    infos = {
        "n1": info(answer={"ready": True, "error": ""}),
        "n2": info(group={"ready": False, "summary": "backoff 40 s"}),
        "n3": info("inactive", supervisor={"active": "inactive"}),
        "n4": {"unreachable": True},
        "n5": info(answer={"ready": False, "error": "timed out"}),
        "n6": info("inactive", supervisor={"active": "inactive", "enabled": False}),
        "n7": info("inactive", supervisor={"active": "inactive", "enabled": False, "exists": False}),
        "n8": {**info(), "group": {}},
    }
    others = ["n5", "n6", "n7", "n8"]
    rows = status.status_rows({"tiny": [["n1", "n2", "n3", "n4"]], "other": [others]}, infos, 4661.5)
    assert [(r["rank"], r["unit"], r["since"], r["health"]) for r in rows] == [
        (0, "active", 3661, "ready"),
        (1, "active", 3661, "backoff 40 s"),
        (2, "inactive", None, "down"),
        (3, "unreachable", None, "unknown"),
        (0, "active", 3661, "not ready: timed out"),
        (1, "inactive", None, "stopped"),
        (2, "inactive", None, "not installed"),
        (3, "active", 3661, "its supervisor does not move"),
    ]
    lines = status.table(rows)
    assert lines[0] == "DEPLOYMENT  RANK  HOST  UNIT         SINCE  PID  HEALTH"
    assert lines[4] == "tiny        3     n4    unreachable  -      -    unknown"
    rows = status.status_rows({"tiny": [["n1", "n2"], ["n3", "n4"]]}, infos, 4661.5)
    assert [(row["replica"], row["rank"], row["host"]) for row in rows] == [
        (0, 0, "n1"),
        (0, 1, "n2"),
        (1, 0, "n3"),
        (1, 1, "n4"),
    ]
    assert status.table(rows)[3] == "tiny        1        0     n3    inactive     -      7    down"


def test_the_status_shows_what_a_supervisor_cannot_write_and_goes_on_without() -> None:
    full = "cannot write /var/lib/fullrank/tiny.ready: No space left on device"
    infos = {"n1": info(group={"ready": True, "summary": "ready", "troubles": [full]}), "n2": {"unreachable": True}}
    rows = status.status_rows({"tiny": [["n1", "n2"]]}, infos, 4661.5)
    assert [(row["health"], row["trouble"]) for row in rows] == [("ready", full), ("unknown", "")]
    lines = status.table(rows)
    assert lines[1].endswith("ready") and lines[-1] == f"tiny rank 0 (n1): {full}"
    assert not any("n1" in line for line in status.not_ready(rows))


def test_a_host_that_was_not_asked_has_no_row_and_keeps_the_ranks_of_the_others() -> None:
    infos = {"n2": info(answer=None)}
    rows = status.status_rows({"tiny": [["n1", "n2"]], "other": [["n3"]]}, infos, 4661.5)
    assert [(row["rank"], row["host"]) for row in rows] == [(1, "n2")]


def test_what_is_stopped_is_wanted_so_and_what_is_missing_is_a_fault() -> None:
    gone = {"active": "inactive", "enabled": False}
    infos = {
        "n1": info("inactive", supervisor=gone),
        "n2": info("inactive", supervisor={**gone, "exists": False}),
        "n3": {"failed": True, "msg": "[Errno 13] Permission denied: '/etc/fullrank'\nmore"},
    }
    rows = status.status_rows({"tiny": [["n1"], ["n2"], ["n3"]]}, infos, 4661.5)
    assert [row["wanted"] for row in rows] == ["stopped", "ready", "ready"]
    assert status.not_ready(rows) == [
        "tiny replica 1 rank 0 (n2): not installed; run site.yml, which installs it",
        "tiny replica 2 rank 0 (n3): not asked: [Errno 13] Permission denied: '/etc/fullrank'",
    ]


def test_no_line_of_a_table_is_wider_than_a_terminal() -> None:
    busy = {
        "engine": "vllm 0.32.0",
        "gpus": [{"memory_used_mib": 70000, "memory_total_mib": 81920}] * 8,
        "metrics": {"running": 3.0, "waiting": 0.0, "kv_usage": 0.25, "tokens_per_s": 41.25, "error": ""},
    }
    refused = "connection refused; it is stopped, or does not listen at the address that was asked"
    infos = {"gpu-a-1": info(**busy), "gpu-a-2": info(answer={"ready": False, "error": refused}, **busy)}
    lines = status.table(status.status_rows({"deepseek_r1": [["gpu-a-1", "gpu-a-2"]]}, infos, 4661.5))
    headings = [line for line in lines if line.startswith("DEPLOYMENT")]
    assert max(map(len, lines[:-1])) <= status.WIDEST and len(headings) > 1
    assert all(word in " ".join(headings) for word in ("HEALTH", "ENGINE", "GPU MEMORY", "KV CACHE"))
    assert lines[2].endswith("not ready (below)")
    assert lines[-1:] == [f"deepseek_r1 rank 1 (gpu-a-2): not ready: {refused}"]
    assert status.table([]) == []


bring_up_report = partial(bring_up.bring_up_report, tables.failures())


def test_the_report_has_the_last_lines_of_every_rank_once() -> None:
    results = [
        {
            "__engine_started": {"changed": True},
            "__engine_ready": {"failed": True, "msg": "stopped waiting"},
            "__engine_stopped": {"log": ["loading", "waiting"]},
        },
        {
            "__engine_started": {"changed": True},
            "__engine_ready": {"failed": True, "msg": "its unit is failed"},
            "__engine_stopped": {"log": []},
        },
        {"__engine_started": {"changed": True}, "__engine_ready": {"unreachable": True, "msg": "no route"}},
        {"__engine_stopped": {"log": ["of another day"]}},
    ]
    hosts = ["n1", "n2", "n3", "n4"]
    report = bring_up_report("tiny", "n1", hosts, results)
    assert report.splitlines() == [
        "tiny did not come up, and was stopped on all nodes that answer.",
        "== rank 0 (n1): stopped waiting",
        "   loading",
        "   waiting",
        "== rank 1 (n2): its unit is failed",
        "   (it wrote nothing)",
        "== rank 2 (n3): no route",
        "   (the node no longer answers: its log is in its journal)",
        "== rank 3 (n4): no failure of its own",
        "   (it was not started)",
        "The whole log of a rank: journalctl -u fullrank-rank@tiny.service, on its node",
    ]
    called = bring_up_report("tiny", "n2", hosts, results, label="tiny replica 1")
    assert called == "tiny replica 1 did not come up: see rank 0 (n1)"
    assert bring_up_report("tiny", "n2", hosts, results) == "tiny did not come up: see rank 0 (n1)"
    lost_head = [{}, *results[1:]]
    assert bring_up_report("tiny", "n2", hosts, lost_head).startswith("tiny did not come up, and was stopped")


def test_the_report_begins_with_the_likely_cause() -> None:
    followed = {
        "failed": True,
        "msg": "tiny rank 0 (n1): stopped waiting, because tiny rank 1 (n2): its unit is failed",
    }
    oom = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB."
    head = {
        "__engine_started": {"changed": True},
        "__engine_ready": followed,
        "__engine_stopped": {"log": [oom, *["later"] * 30, "RuntimeError: Connection closed by peer"]},
    }
    other = {
        "__engine_started": {"changed": True},
        "__engine_ready": {"failed": True, "msg": "its unit is failed"},
        "__engine_stopped": {"log": [oom]},
    }
    lines = bring_up_report("tiny", "n1", ["n1", "n2"], [head, other]).splitlines()
    assert lines[1] == "Likely cause: A GPU ran out of memory."
    assert lines[2] == f"   rank 1 (n2): {oom}"  # it failed first
    assert lines[3] == "   also rank 0 (n1)"
    assert lines[4].startswith("   What to do: ")
    assert sum(line.startswith("   ") for line in lines[5:]) == bring_up.SHOWN_LINES + 1
    other["__engine_stopped"]["log"] = head["__engine_stopped"]["log"] = ["ValueError: the moon is full"]
    report = bring_up_report("tiny", "n1", ["n1", "n2"], [head, other])
    assert "No cause that is known. The line that tells most: rank 1 (n2): ValueError: the moon is full" in report
