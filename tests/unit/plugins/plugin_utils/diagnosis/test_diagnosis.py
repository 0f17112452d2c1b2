# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one answer of all ranks."""

from __future__ import annotations

from typing import Any

from ansible_collections.fullrank.serving.plugins.plugin_utils.diagnosis import diagnosis, failures, tables

SIGNATURES = tables.failures()
OOM = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB."
LOST = "RuntimeError: [pair.cc:534] Connection closed by peer [10.0.0.2]:10895"


def result(*lines: str, active: str = "active", **more: Any) -> dict[str, Any]:
    state = {"active": active, "exists": True, "result": "exit-code", "exit_status": 1}
    return {
        "rank_state": state,
        "sightings": failures.search(SIGNATURES, lines),
        "last_error": last_error(*lines),
        **more,
    }


def last_error(*lines: str) -> dict[str, Any]:
    error = failures.most_telling(SIGNATURES, lines)
    return {"line": error.text, "weight": error.weight, "time": error.time, "number": error.number} if error else {}


READY = {"ready": True, "error": "", "seconds": 0.2}
NOT_READY = {"ready": False, "error": "Connection refused", "seconds": 0.0}


def test_a_healthy_deployment_is_reported_without_the_past() -> None:
    found = diagnosis.diagnose(SIGNATURES, ["n1", "n2"], [result(LOST, OOM, answer=READY), result()])
    assert found["state"] == "healthy" and found["causes"] == []
    assert found["lines"] == ["healthy: all 2 ranks run and the endpoint has answered in 0.2 s"]


def test_a_healthy_deployment_is_shown_what_could_be_better() -> None:
    slow = "NCCL INFO Failed to open libibverbs.so[.1]"
    found = diagnosis.diagnose(SIGNATURES, ["n1"], [result(slow, answer=READY)])
    assert found["state"] == "healthy" and [one["id"] for one in found["causes"]] == ["rdma-library-missing"]


def test_the_cause_comes_first_and_a_lost_node_is_named() -> None:
    results = [
        result(LOST, answer=NOT_READY),
        result(OOM, active="failed"),
        {"unreachable": True, "msg": "no route"},
    ]
    found = diagnosis.diagnose(SIGNATURES, ["n1", "n2", "n3"], results)
    assert found["state"] == "failing"
    assert found["lines"][0] == (
        "not healthy: rank 1 (n2): its unit is failed (exit-code, exit status 1); "
        "rank 2 (n3): the node does not answer: no route; the endpoint answers: Connection refused"
    )
    assert found["lines"][1] == "Likely cause: A GPU ran out of memory."
    assert found["causes"][0]["rank"] == 1
    assert [one["active"] for one in found["ranks"]] == [True, False, False]


def test_what_is_not_known_is_shown_as_it_is() -> None:
    found = diagnosis.diagnose(SIGNATURES, ["n1"], [result("ValueError: the moon is full", answer=NOT_READY)])
    assert (
        found["lines"][-1]
        == "No cause that is known. The line that tells most: rank 0 (n1): ValueError: the moon is full"
    )
    silent = diagnosis.diagnose(SIGNATURES, ["n1"], [result(answer=NOT_READY)])
    assert "no line of a log" in silent["lines"][-1]
    absent = {"rank_state": {"active": "inactive", "exists": False}}
    assert "rank 0 (n1): is not installed" in diagnosis.diagnose(SIGNATURES, ["n1"], [absent])["lines"][0]


def test_a_host_that_the_limit_left_out_is_no_fault() -> None:
    found = diagnosis.diagnose(SIGNATURES, ["n1", "n2"], [result(answer=READY), diagnosis.NOT_ASKED])
    assert found["state"] == "healthy"
    assert found["lines"] == [
        "nothing wrong with what was asked: the endpoint has answered in 0.2 s; --limit leaves out rank 1 (n2)"
    ]
    rank_1 = diagnosis.diagnose(SIGNATURES, ["n1", "n2"], [diagnosis.NOT_ASKED, result()])
    assert rank_1["state"] == "healthy" and "the endpoint was not checked" in rank_1["lines"][0]
    failed = diagnosis.diagnose(SIGNATURES, ["n1", "n2"], [diagnosis.NOT_ASKED, result(OOM, active="failed")])
    assert failed["lines"][0].startswith("not healthy: rank 1 (n2): its unit is failed")
