# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what all ranks measured to the node, pair or setting that is to blame."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.plugin_utils.report import comm_text
from ansible_collections.fullrank.serving.plugins.plugin_utils.report.comm_verdict import (
    Limits,
    as_data,
    bus_gbps,
    judge,
    measured,
)
from hypothesis import given, settings
from hypothesis import strategies as st

SIZE = 10**9 // 8  # one Gbit


def runs(count: int, rate: Any, processes: int = 1, link: float = 0.0, **more: Any) -> list[dict[str, Any]]:
    """Healthy results of ``count`` nodes. rate(a, b, process): Gbit/s of a pair's process."""
    done: list[dict[str, Any]] = [
        {
            "exit_status": 0,
            "timed_out": False,
            "seconds": 20.0,
            "link_gbps": link,
            "log": [],
            "networks": {"used": {}, "gdr": 0, "why": []},
            "records": [{"kind": "start", "rank": node * processes, "node": node, "processes": processes}],
            **more,
        }
        for node in range(count)
    ]
    done[0]["records"].append({"kind": "all_reduce", "bytes": SIZE, "seconds": 1.0})
    for a, b in combinations(range(count), 2):
        for process in range(processes):
            seconds = 1 / rate(a, b, process)
            done[a]["records"].append(
                {
                    "kind": "pair",
                    "nodes": [a, b],
                    "process": process,
                    "bytes": SIZE,
                    "seconds": seconds,
                    "latency": 2e-4,
                }
            )
    return done


def verdict(done: list[dict[str, Any]], **limits: Any) -> list[dict[str, str]]:
    return judge("r1", [f"n{i + 1}" for i in range(len(done))], done, Limits(**limits))[1]


def codes(found: list[dict[str, str]]) -> list[tuple[str, str]]:
    return [(one["code"], one["where"]) for one in found]


def node_is_slow(node: int, slow: float = 0.05, usual: float = 5.0) -> Any:
    return lambda a, b, _: slow if node in (a, b) else usual


def pair_is_slow(first: int, second: int) -> Any:
    return lambda a, b, _: 0.1 if (a, b) == (first, second) else 5.0


def same(gbps: float) -> Any:
    return lambda a, b, _: gbps


def test_bus_bandwidth_is_that_of_nccl_tests() -> None:
    assert bus_gbps(SIZE, 1.0, 2) == pytest.approx(1.0)
    assert bus_gbps(SIZE, 1.0, 4) == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("done", "limits", "expected"),
    [
        (runs(1, same(1)), {}, []),
        (runs(2, same(5)), {}, []),
        (runs(4, same(5)), {}, []),
        (runs(3, node_is_slow(2)), {}, [("slow-node", "r1 rank 2 (n3)")]),
        (runs(3, node_is_slow(0)), {}, [("slow-node", "r1 rank 0 (n1)")]),
        (runs(4, node_is_slow(1)), {}, [("slow-node", "r1 rank 1 (n2)")]),
        (
            runs(5, lambda a, b, _: 0.05 if {a, b} & {1, 3} else 5.0),
            {},
            [("slow-node", "r1 rank 1 (n2)"), ("slow-node", "r1 rank 3 (n4)")],
        ),
        (runs(4, pair_is_slow(1, 3)), {}, [("slow-pair", "r1 ranks 1 and 3")]),
        # two nodes: no third to compare with, unless a limit is given; then it is not known which of them
        (runs(2, same(0.05)), {}, []),
        (runs(2, same(0.05)), {"min_gbps": 1}, [("slow-pair", "r1 ranks 0 and 1")]),
        (runs(2, same(40), link=100.0), {"min_link_share": 0.5}, [("slow-pair", "r1 ranks 0 and 1")]),
        (runs(2, same(60), link=100.0), {"min_link_share": 0.5}, []),
        (runs(2, same(60), link=0.0), {"min_link_share": 0.5}, []),  # the link's rate is not known
        (runs(3, same(5)), {"min_gbps": 10}, [("slow-network", "r1")]),
        (runs(3, same(5)), {"min_gbps": 2}, [("slow-together", "r1")]),  # all-reduce: 1.33 Gbit/s
        (runs(3, node_is_slow(2, slow=4.0)), {}, []),  # within the usual differences
        (runs(3, node_is_slow(2, slow=4.0)), {"min_pair_share": 0.9}, [("slow-node", "r1 rank 2 (n3)")]),
    ],
)
def test_who_is_slow(done: Any, limits: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert codes(verdict(done, **limits)) == expected


def test_a_message_has_the_pairs_the_limit_and_the_remedy() -> None:
    (found,) = verdict(runs(3, node_is_slow(2)))
    assert "n1 - n3 0.05 Gbit/s; n2 - n3 0.05 Gbit/s" in found["message"]
    assert "usually reach 5 Gbit/s, and 0.5 of it is required" in found["message"]
    assert "n3" in found["remedy"]


def test_a_slow_rail_is_named() -> None:
    """Eight GPUs and HCAs on a node: one of them slow makes the pair as slow as that one."""
    done = runs(2, lambda a, b, process: 5 if process == 3 else 50, processes=8)
    numbers, found = judge("r1", ["n1", "n2"], done, Limits(min_gbps=100))
    assert numbers.pairs[0].gbps == pytest.approx(40)
    assert "process 3 of each node is the slowest" in found[0]["message"]
    assert measured(runs(2, same(50), processes=8)).pairs[0].gbps == pytest.approx(400)


@settings(max_examples=30)
@given(st.integers(3, 9).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n - 1))), st.floats(0.01, 0.45))
def test_one_slow_node_is_always_the_one_that_is_named(size: tuple[int, int], share: float) -> None:
    count, slow = size
    found = verdict(runs(count, node_is_slow(slow, slow=share, usual=1.0)))
    assert codes(found) == [("slow-node", f"r1 rank {slow} (n{slow + 1})")]


def failed(done: list[dict[str, Any]], node: int, *records: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
    done[node] |= {"exit_status": 1, **more}
    done[node]["records"] += records
    return done


def error(text: str, at: str = "all-reduce of 1024 bytes") -> dict[str, Any]:
    return {"kind": "error", "rank": 0, "at": at, "text": text}


def test_the_cause_is_reported_and_not_its_echoes() -> None:
    done = runs(3, same(5))
    failed(done, 0, error("RuntimeError: Connection closed by peer [192.0.2.3]:4711"))
    failed(done, 1, error("RuntimeError: Timed out", at="waiting for the other pairs"))
    failed(done, 2, error("RuntimeError: CUDA error: out of memory"))
    assert [(one["where"], one["message"]) for one in verdict(done)] == [
        ("r1 rank 2 (n3)", "all-reduce of 1024 bytes: RuntimeError: CUDA error: out of memory")
    ]


def test_only_echoes_are_better_than_nothing() -> None:
    done = failed(runs(2, same(5)), 0, error("RuntimeError: Connection reset by peer"))
    assert codes(verdict(done)) == [("communication-failed", "r1 rank 0 (n1)")]


def test_a_process_that_was_killed_reports_nothing_itself() -> None:
    log = ["ChildFailedError:", "  traceback : Signal 9 (SIGKILL) received by PID 241", "last"]
    (found,) = verdict(failed(runs(2, same(5)), 1, log=log))
    assert found["message"] == "exit status 1: traceback : Signal 9 (SIGKILL) received by PID 241"


def test_ranks_that_never_met() -> None:
    done = runs(2, same(5))
    for run in done:
        run |= {
            "exit_status": 1,
            "timed_out": True,
            "seconds": 301.0,
            "records": [],
            "log": ["DistNetworkError: no way"],
        }
    found = verdict(done)
    assert codes(found) == [("not-met", "r1 rank 0 (n1)"), ("not-met", "r1 rank 1 (n2)")]
    assert (
        found[0]["message"] == "the rank did not meet the others within 301 s; it last wrote: DistNetworkError: no way"
    )


def test_a_check_that_took_too_long() -> None:
    done = failed(runs(2, same(5)), 1, timed_out=True, seconds=300.4)
    assert codes(verdict(done)) == [("timed-out", "r1 rank 1 (n2)")]


@pytest.mark.parametrize("run", [{}, {"unreachable": True, "msg": "No route to host"}])
def test_a_node_that_took_no_part(run: dict[str, Any]) -> None:
    found = verdict([runs(2, same(5))[0], run])
    assert codes(found) == [("not-taken-part", "r1 rank 1 (n2)")]
    assert run.get("msg", "it was not contacted") in found[0]["message"]


def test_no_measurement_is_no_success() -> None:
    done = runs(2, same(5))
    for run in done:
        run["records"] = []
    assert codes(verdict(done)) == [("nothing-measured", "r1")]


def test_wrong_data_is_a_failure_however_fast() -> None:
    done = runs(2, same(5))
    done[1]["records"].append({"kind": "wrong", "rank": 1, "at": "all-reduce of 1024 bytes", "count": 3})
    assert codes(verdict(done)) == [("wrong-data", "r1 rank 1 (n2)")]


def using(*names: str, why: list[str] | None = None) -> dict[str, Any]:
    return {"networks": {"used": dict.fromkeys(names, 4), "gdr": 0, "why": why or []}}


@pytest.mark.parametrize(
    ("done", "limits", "expected"),
    [
        (runs(2, same(5), **using("IB")), {}, []),
        (runs(2, same(5), **using("IBext_v8")), {}, []),
        (runs(2, same(5), **using("Socket")), {}, ["sockets-instead-of-rdma"] * 2),
        (runs(2, same(5), **using("IB", "Socket")), {}, ["sockets-instead-of-rdma"] * 2),
        (runs(2, same(5), **using("Socket")), {"expect_rdma": False}, []),
        (runs(1, same(5), **using("Socket")), {}, []),
        (runs(2, same(5)), {}, ["network-unknown"] * 2),
        (runs(2, same(5)), {"backend": "gloo"}, ["rdma-not-checked"]),
    ],
)
def test_rdma_that_is_expected_is_used(done: Any, limits: dict[str, Any], expected: list[str]) -> None:
    assert [one["code"] for one in verdict(done, **{"expect_rdma": True, **limits})] == expected


def test_nccl_that_has_no_rdma_at_all_fails_with_its_reason() -> None:
    """Sockets are forbidden during the check: NCCL ends instead of falling back."""
    done = runs(2, same(5), **using("IB"))
    failed(done, 1, error("ncclSystemError"), **using(why=["NET/IB : No device found."]))
    found = verdict(done, expect_rdma=True)
    assert codes(found)[-1] == ("no-rdma", "r1 rank 1 (n2)")
    assert "No device found" in found[-1]["message"]


def test_numbers_for_programs_and_for_people() -> None:
    hosts = ["n1", "n2", "n3"]
    done = runs(3, node_is_slow(2), link=10.0)
    limits = Limits(backend="gloo")
    numbers, found = judge("r1", hosts, done, limits)
    data = as_data(hosts, numbers, found, limits)
    assert (data["passed"], data["nodes"], data["link_gbps"]["n2"]) == (False, hosts, 10.0)
    assert data["pairs"][0] == {"nodes": ["n1", "n2"], "gbps": 5.0, "latency_us": 200.0}
    assert data["findings"] == found
    lines = comm_text.lines("r1", data, [using("Socket")["networks"]])
    assert lines[0] == "r1: gloo over Socket, 3 nodes with 1 process each"
    assert [line.split() for line in lines if line.startswith("n1 - n3")] == [
        ["n1", "-", "n3", "200", "us", "0.050", "Gbit/s"]
    ]
    assert len(lines) == 1 + 2 + 4
