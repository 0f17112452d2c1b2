# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One report of all nodes: comparisons between them, alike findings as one, the table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import preflight_node as node
import pytest
from ansible.errors import AnsibleTypeError
from ansible_collections.fullrank.serving.plugins.filter.preflight_report import FilterModule, preflight_report
from ansible_collections.fullrank.serving.plugins.plugin_utils.common.text_table import some, table
from ansible_collections.fullrank.serving.plugins.plugin_utils.report.clock import KEYS, check_node, check_nodes
from ansible_collections.fullrank.serving.plugins.plugin_utils.report.preflight import COUNTED, EQUAL, report
from hypothesis import given, settings
from hypothesis import strategies as st
from preflight_faults import FAULTS


def check(id: str = "disk-space", status: str = "pass", **changes: Any) -> dict[str, Any]:
    remedy = "free space" if status in ("fail", "warn") else ""
    return {
        "severity": status,
        "code": id,
        "where": "/data",
        "message": "seen",
        "remedy": remedy,
        "data": {},
        **changes,
    }


def clock(ahead: float, travel: float = 0.2, work: float = 3.0) -> dict[str, float]:
    """The times of a question that takes ``way`` seconds there and back, and ``work`` in between."""
    return {
        "sent": 1000.0,
        "started": 1000.0 + travel + ahead,
        "ended": 1000.0 + travel + work + ahead,
        "received": 1000.0 + 2 * travel + work,
    }


def answer(*checks: dict[str, Any], **values: Any) -> dict[str, Any]:
    same = {
        "os": "ubuntu 22.04",
        "kernel": "5.15.0-130-generic",
        "clock": clock(0.1),
        "mtu": 9000,
        "speed_mbps": 100000,
        "gpu_count": 8,
        "gpu_kinds": ["NVIDIA H20, 97871 MiB"],
        "driver_version": "570.86.15",
        "rdma_active": ["Ethernet 200 Gbit/s"] * 4,
        "image_id": "sha256:aa",
        "versions": {"ray": "2.43.0"},
    }
    return {"checks": list(checks) or [check()], "node": {**same, **values}}


def found(result: dict[str, Any], id: str) -> dict[str, Any]:
    return next(entry for entry in result["checks"] if entry["code"] == id)


def test_equal_nodes_pass() -> None:
    result = report({"node1": answer(), "node2": answer()})
    assert result["verdict"] == "pass"
    assert result["findings"] == []
    assert result["counts"]["pass"] == 4 + len(EQUAL) + 2, "each node's check and clock, the rules, ray, the clocks"
    assert result["nodes"]["node1"] == {"fail": 0, "warn": 0, "skipped": 0, "pass": 2}


@pytest.mark.parametrize(
    ("changes", "id", "status", "part"),
    [
        ({"mtu": 1500}, "mtu-equal", "fail", "9000 on node1, node2; 1500 on node3"),
        ({"gpu_count": 7}, "gpu-count-equal", "fail", "7 on node3"),
        ({"gpu_kinds": ["NVIDIA H200, 143771 MiB"]}, "gpu-kind-equal", "fail", "NVIDIA H200, 143771 MiB on node3"),
        ({"driver_version": "570.124.06"}, "driver-equal", "fail", "570.124.06 on node3"),
        ({"image_id": "sha256:bb"}, "image-equal", "fail", "sha256:bb on node3"),
        ({"versions": {"ray": "2.49.0"}}, "version-equal", "fail", "2.49.0 on node3"),
        (
            {"rdma_active": ["Ethernet 200 Gbit/s"] * 3},
            "rdma-equal",
            "warn",
            "4 x Ethernet 200 Gbit/s on node1, node2; 3 x Ethernet 200 Gbit/s on node3",
        ),
        ({"speed_mbps": 25000}, "speed-equal", "warn", "25000 on node3"),
        ({"kernel": "5.15.0-131-generic"}, "kernel-equal", "warn", "131-generic on node3"),
        ({"os": "debian 12"}, "os-equal", "warn", "debian 12 on node3"),
    ],
)
def test_an_unlike_node_is_named(changes: dict[str, Any], id: str, status: str, part: str) -> None:
    result = report({"node1": answer(), "node2": answer(), "node3": answer(**changes)})
    assert result["verdict"] == status
    assert (found(result, id)["severity"], part in found(result, id)["message"]) == (status, True)
    (finding,) = result["findings"]
    assert finding["code"] == id
    assert finding["remedy"]


@pytest.mark.parametrize(
    ("ahead", "message"), [(20.0, "at least 19.8 s ahead"), (-20.0, "at least 19.8 s behind")], ids=["ahead", "behind"]
)
def test_a_skewed_clock_is_seen_against_the_controller_and_the_other_nodes(ahead: float, message: str) -> None:
    result = report({"node1": answer(), "node2": answer(), "node3": answer(clock=clock(ahead))})
    skewed, apart = result["findings"]
    assert (skewed["code"], skewed["hosts"], message in skewed["message"]) == ("clock-skew", ["node3"], True)
    assert (apart["code"], "node3" in apart["message"]) == ("clock-equal", True)
    assert report({"node1": answer(), "node3": answer(clock=clock(ahead))}, 60)["verdict"] == "pass"


def test_a_slow_way_to_a_node_is_no_skew() -> None:
    result = report({"node1": answer(), "node2": answer(clock=clock(0.0, travel=45.0))})
    assert result["verdict"] == "pass"


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(-5, 5), *[st.floats(0, 1e4)] * 4), min_size=2, max_size=4))
def test_clocks_within_the_limit_are_never_called_wrong(nodes: list[tuple[float, ...]]) -> None:
    """Whatever the two ways, the work and the controller's own wait take."""
    clocks = {}
    for index, (ahead, there, work, back, wait) in enumerate(nodes):
        started = wait + there + ahead
        times = {"sent": wait, "started": started, "ended": started + work, "received": wait + there + work + back}
        clocks[str(index)] = times
    assert {check_node(times, 5.0001)["severity"] for times in clocks.values()} == {"pass"}
    assert check_nodes(clocks, 10.0001)["severity"] == "pass"


def test_a_value_that_one_node_does_not_know_is_not_compared() -> None:
    result = report({"node1": answer(), "node2": answer(image_id=None, versions={})})
    assert found(result, "image-equal")["severity"] == "skipped"
    assert found(result, "version-equal")["severity"] == "skipped"
    assert result["verdict"] == "pass"


def test_nodes_of_different_deployments_may_differ() -> None:
    old, new = {"driver_version": "535.183.01"}, {"driver_version": "570.86.15"}
    apart = {
        "a": answer(deployment="r1", **old),
        "b": answer(deployment="r1", **old),
        "c": answer(deployment="qwen", **new),
        "d": answer(deployment="qwen", **new),
    }
    assert report(apart)["verdict"] == "pass"
    mixed = report({**apart, "b": answer(deployment="r1", **new)})
    assert mixed["verdict"] == "fail"
    assert found(mixed, "driver-equal")["host"] == "r1"


@pytest.mark.parametrize("silent", [None, {}, {"msg": "Connection timed out", "unreachable": True}, {"checks": None}])
def test_a_node_that_does_not_answer_is_a_failure(silent: dict[str, Any] | None) -> None:
    result = report({"node1": answer(), "node2": silent})
    assert result["verdict"] == "fail"
    (finding,) = result["findings"]
    assert (finding["code"], finding["hosts"]) == ("node-answers", ["node2"])
    if silent and "msg" in silent:
        assert "Connection timed out" in finding["message"]


def test_the_same_finding_on_many_nodes_is_one() -> None:
    result = report({f"node{number}": answer(check(status="warn")) for number in range(1, 101)})
    (finding,) = result["findings"]
    assert len(finding["hosts"]) == 100
    assert result["counts"]["warn"] == 100
    assert "warn: disk-space on node1, node2, node3 and 97 more" in result["lines"]
    assert len(result["lines"]) < 30


def test_findings_have_the_shape_of_all_findings_and_failures_come_first() -> None:
    result = report({"node1": answer(check(status="warn"), check(id="shm", status="fail"))})
    assert [finding["severity"] for finding in result["findings"]] == ["fail", "warn"]
    assert set(result["findings"][0]) == {"severity", "code", "where", "message", "remedy", "data", "hosts"}


def test_a_node_without_peers_has_no_row() -> None:
    alone = check(id="reach", status="skipped", data={}, message="no other ranks")
    assert report({"a": answer(alone)})["reachability"] == {}


def about(id: str, peer: str, status: str) -> dict[str, Any]:
    return check(id=id, status=status, where=f"{peer} (10.0.0.9)", data={"peer": peer})


def test_reachability() -> None:
    result = report(
        {
            "a": answer(
                about("reach", "z", "pass"),
                about("reach", "b", "pass"),
                about("route", "b", "pass"),
                about("path-mtu", "b", "skipped"),
            ),
            "b": answer(about("reach", "a", "fail"), about("route", "a", "fail"), about("path-mtu", "a", "skipped")),
            "c": answer(about("reach", "a", "pass"), about("path-mtu", "a", "fail"), about("reach", "b", "skipped")),
        }
    )
    assert result["reachability"] == {
        "a": {"z": "ok", "b": "ok"},
        "b": {"a": "reach+route"},
        "c": {"a": "path-mtu", "b": "?"},
    }
    assert result["lines"][-4:] == [
        "from \\ to  a            b   c  z",
        "a          .            ok  ?  ok",
        "b          reach+route  .   ?  ?",
        "c          path-mtu     ?   .  ?",
    ]


def test_the_text() -> None:
    lines = report({"node1": answer(check(status="fail"), check(id="os"), check(id="os"))})["lines"]
    assert lines == [
        "preflight: fail - 1 nodes, 1 fail, 0 warn, 0 skipped, 3 pass",
        "",
        "fail: disk-space on node1",
        "  /data: seen",
        "  -> free space",
        "",
        "check       fail  warn  skipped  pass",
        "disk-space  1     -     -        -",
        "os          -     -     -        2",
        "clock-skew  -     -     -        1",
    ]


def test_ten_faults_on_three_nodes_are_in_one_report(tmp_path: Path) -> None:
    planted = {
        "node1": ("full disk", "no engine", "no headers", "memlock"),
        "node2": ("port taken", "cut link", "MIG"),
        "node3": ("Secure Boot", "updated driver", "small switch MTU"),
    }
    answers = {}
    for host, names in planted.items():
        root = node.lay_out(tmp_path / host)
        wanted = node.wanted()
        for name in names:
            FAULTS[name][3](root, wanted)
        answers[host] = node.run.run(node.Host(str(root)), wanted)
    result = json.loads(json.dumps(report(answers)))
    for host, names in planted.items():
        codes = {finding["code"] for finding in result["findings"] if host in finding["hosts"]}
        assert {FAULTS[name][0] for name in names} <= codes
        assert result["nodes"][host]["fail"] >= len(names)
    assert result["verdict"] == "fail"


def test_the_filter() -> None:
    assert FilterModule().filters() == {"preflight_report": preflight_report}
    assert preflight_report({"node1": answer()})["verdict"] == "pass"
    with pytest.raises(AnsibleTypeError, match="not list"):
        preflight_report([answer()])


def test_pieces_of_text() -> None:
    assert some(["a", "b", "c", "d"]) == "a, b, c, d"
    assert some(list("abcdef")) == "a, b, c and 3 more"
    assert table([["a", "bb"], ["ccc", ""]]) == ["a    bb", "ccc"]


ANSWER = st.one_of(
    st.none(),
    st.builds(
        lambda statuses, values: answer(*(check(status=status) for status in statuses), **values),
        st.lists(st.sampled_from(COUNTED), max_size=4),
        st.fixed_dictionaries(
            {},
            optional={
                "mtu": st.sampled_from([None, 1500, 9000]),
                "clock": st.dictionaries(st.sampled_from(KEYS), st.one_of(st.none(), st.floats(-1e6, 1e6))),
                "versions": st.dictionaries(st.sampled_from(["ray", "nccl"]), st.sampled_from(["1", "2"])),
                "gpu_kinds": st.lists(st.sampled_from(["a", "b"])),
            },
        ),
    ),
)


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.sampled_from("abcdef"), ANSWER))
def test_any_answers_give_a_report_that_loses_nothing(answers: dict[str, Any]) -> None:
    result = report(answers)
    json.dumps(result)
    assert sum(result["counts"].values()) == len(result["checks"])
    assert (result["verdict"] == "fail") == (result["counts"]["fail"] > 0)
    assert sum(len(finding["hosts"]) for finding in result["findings"]) == (
        result["counts"]["fail"] + result["counts"]["warn"]
    )
    assert set(result["nodes"]) == set(answers)


def test_what_stands_in_the_way_of_routers_is_in_the_same_report() -> None:
    missing = check("no-certificate", "fail", where="router_tls_certificate of tiny")
    silent = {"unreachable": True, "msg": "no route to host"}
    result = report(
        {"node1": answer(), "node2": answer()}, routers={"gw": {"findings": [missing]}, "gw2": silent, "gw3": {}}
    )
    assert result["verdict"] == "fail" and set(result["nodes"]) == {"node1", "node2", "gw", "gw2"}
    assert [(one["code"], one["hosts"]) for one in result["findings"]] == [
        ("no-certificate", ["gw"]),
        ("node-answers", ["gw2"]),
    ]
    assert result["lines"][0].startswith("preflight: fail - 4 nodes, 2 fail")
