# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Failure signatures: every entry against the line it was recorded from, the order of causes, and healthy logs."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.files import engines, read_catalog
from ansible_collections.fullrank.serving.plugins.plugin_utils.diagnosis import failures, tables
from ansible_collections.fullrank.serving.plugins.plugin_utils.diagnosis.failures import Signature
from entry_points import options
from places import DATA

RECORDED = yaml.safe_load((DATA / "failures/recorded.yml").read_text())
SIGNATURES = tables.failures()
LOGS = DATA / "logs"


def log(name: str) -> list[str]:
    return (LOGS / f"{name}.log").read_text().splitlines()


def found(*lines: str) -> list[str]:
    return [one["id"] for one in failures.search(SIGNATURES, lines)]


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda one: f"{one['id']}: {one['line'][:40]}")
def test_a_recorded_line_is_known_as_what_it_is(recorded: dict[str, str]) -> None:
    assert recorded["source"]
    assert found(recorded["line"]) == [recorded["id"]]


def test_every_signature_has_a_recording_and_there_are_enough() -> None:
    ids = [signature.id for signature in SIGNATURES]
    assert sorted(ids) == sorted(set(ids))
    assert {one["id"] for one in RECORDED} == set(ids)
    assert len(ids) >= 40
    wanted = {"vllm", "sglang", "lmdeploy", "ray", "nccl", "cuda", "docker", "toolkit", "rdma", "hub", "systemd"}
    assert wanted <= {signature.component for signature in SIGNATURES}


def test_remedies_name_variables_that_there_are() -> None:
    known = {*options("engine"), *options("deployment")}
    for signature in SIGNATURES:
        assert set(re.findall(r"\bengine_[a-z_]+", signature.remedy)) <= known, signature.id
        assert signature.cause.endswith(".") and signature.remedy.endswith("."), signature.id


def test_remedies_name_options_that_the_engines_have() -> None:
    flags = {flag for engine in engines() for flag in read_catalog(engine).spans}
    for signature in SIGNATURES:
        for option in re.findall(r"engine_args\.([a-z_0-9]+)", signature.remedy):
            assert f"--{option.replace('_', '-')}" in flags, f"{signature.id}: {option}"


@pytest.mark.parametrize("name", ["vllm-0.32.0-rank-0", "vllm-0.32.0-rank-1", "sglang-0.5.23"])
def test_a_healthy_log_has_no_failure(name: str) -> None:
    assert found(*log(name)) == []


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("vllm-0.32.0-no-kv-cache", "vllm-no-kv-cache"),
        ("vllm-0.32.0-no-config", "model-config-missing"),
        ("vllm-0.32.0-port-taken", "port-in-use"),
        ("vllm-0.32.0-unknown-option", "option-unknown"),
    ],
)
def test_the_log_of_a_real_failure(name: str, cause: str) -> None:
    causes = failures.rank_causes(SIGNATURES, {0: failures.search(SIGNATURES, log(name))})
    assert causes[0]["id"] == cause
    assert {one["level"] for one in causes[1:]} <= {"echo"}


ROOT = "misc/socket.cc:533 NCCL WARN socketPollConnect: Connect to 10.0.0.4<56849> returned 113(No route to host)"
DEAD = "vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue."
LOST = "RuntimeError: [pair.cc:534] Connection closed by peer [10.0.0.2]:10895"
KILLED = "fullrank-rank@a.service: Main process exited, code=killed, status=9/KILL"


def causes(first_failed: int | None = None, **logs: list[str]) -> list[tuple[str, int]]:
    sightings = {int(rank[1:]): failures.search(SIGNATURES, lines) for rank, lines in logs.items()}
    return [(one["id"], one["rank"]) for one in failures.rank_causes(SIGNATURES, sightings, first_failed)]


def test_a_root_cause_stands_before_what_only_repeats_it() -> None:
    assert causes(r0=[DEAD, ROOT], r1=[LOST]) == [
        ("nccl-connect-failed", 0),
        ("vllm-engine-dead", 0),
        ("peer-lost-gloo", 1),
    ]


def test_the_rank_that_failed_stands_before_those_that_lost_it() -> None:
    assert causes(r0=[LOST, DEAD], r1=[KILLED])[0] == ("killed", 1)


def test_among_equals_the_first_to_fail_is_named_and_then_the_first_in_time() -> None:
    oom = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB."
    assert causes(r0=[oom], r1=[oom])[0] == ("cuda-out-of-memory", 0)
    assert causes(1, r0=[oom], r1=[oom])[0] == ("cuda-out-of-memory", 1)
    early, late = "1795377378.000001 n2 fullrank-rank@a[7]: ", "1795377379.000001 n1 fullrank-rank@a[7]: "
    assert causes(r0=[late + oom], r1=[early + oom])[0] == ("cuda-out-of-memory", 1)
    assert causes(r0=[late + oom], r1=[early + ROOT])[0] == ("nccl-connect-failed", 1)


def test_each_line_counts_once_and_is_quoted_where_it_matters() -> None:
    text = "x" * 5000 + " Duplicate GPU detected : rank 1 and rank 0 both on CUDA device 10"
    (one,) = failures.search(SIGNATURES, ["fine", f"\x1b[31m{text}\x1b[0m\r\n", text])
    assert one["number"] == 1 and one["time"] is None
    assert len(one["line"]) <= failures.QUOTED + 2 and "Duplicate GPU detected : rank 1 and rank 0" in one["line"]


def test_the_lines_for_people() -> None:
    sightings = {
        0: failures.search(SIGNATURES, [DEAD]),
        1: failures.search(SIGNATURES, [ROOT, LOST]),
        2: failures.search(SIGNATURES, [ROOT]),
    }
    lines = failures.cause_lines(failures.rank_causes(SIGNATURES, sightings, 1), ["n1", "n2", "n3"])
    assert lines[0].startswith("Likely cause: NCCL cannot open a connection")
    assert lines[1] == f"   rank 1 (n2): {ROOT}"
    assert lines[2] == "   also rank 2 (n3)"
    assert "engine_rendezvous_network" in lines[3]
    assert len(lines) == 4  # that the engine died and peers were lost adds nothing
    only = failures.cause_lines(failures.rank_causes(SIGNATURES, {0: failures.search(SIGNATURES, [DEAD])}), ["n1"])
    assert only[0].startswith("Likely cause: vLLM's engine process ended")
    assert failures.cause_lines([], ["n1"]) == []


def test_what_happens_while_a_rank_is_stopped_is_no_failure() -> None:
    """As the journal of a rank showed it that did not end within its time (vLLM 0.32 on a slow machine)."""
    oom = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB."
    stop = [
        "Stopping fullrank-rank@a.service - a: rank 0 of 2, vllm 0.32.0...",
        KILLED,
        "Error: gone",
        "Stopped fullrank-rank@a.service",
    ]
    assert found(*stop) == [] and failures.last_error(stop) == ""
    assert found(oom, *stop) == ["cuda-out-of-memory"]
    assert found(*[f"1795377378.123456 n1 systemd[1]: {line}" for line in stop]) == []
    assert found(*stop, "Started fullrank-rank@a.service - a: rank 0 of 2, vllm 0.32.0.", oom) == ["cuda-out-of-memory"]
    assert found(KILLED) == ["killed"]


def test_an_unknown_failure_has_a_last_error() -> None:
    lines = ["loading", "  raise ValueError(", "ValueError: the moon is full", "  frame", "shutting down"]
    assert failures.last_error(lines) == "ValueError: the moon is full"
    assert failures.last_error(["loading"]) == ""


@pytest.fixture
def no_longer_than_half_a_minute() -> Iterator[None]:
    """Not a measurement: catastrophic backtracking takes longer than anybody waits."""

    def stop(*_: Any) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(30)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("no_longer_than_half_a_minute")
@pytest.mark.parametrize(
    "seed",
    ["Error: ", "lib", "Xid (PCI:", "Max retries exceeded with url huggingface ", "a1.:[", "Free memory on device "],
)
def test_long_lines_are_no_trouble(seed: str) -> None:
    for line in (seed * 60_000, seed + "a" * 300_000, seed + " " * 300_000):
        failures.search(SIGNATURES, [line])


def nested_repeats(pattern: re.Pattern[str]) -> bool:
    """Whether something unbounded stands inside something unbounded."""
    parser = re._parser  # type: ignore[attr-defined]

    def walk(tree: Any, inside: bool) -> bool:
        for kind, value in tree:
            name = str(kind)
            if name in ("MAX_REPEAT", "MIN_REPEAT"):
                unbounded = value[1] is re._constants.MAXREPEAT  # type: ignore[attr-defined]
                if (inside and unbounded) or walk(value[2], inside or unbounded):
                    return True
            parts = [value[3]] if name == "SUBPATTERN" else value[1] if name == "BRANCH" else []
            if any(walk(part, inside) for part in parts):
                return True
        return False

    return walk(parser.parse(pattern.pattern), False)


def test_no_pattern_can_run_away() -> None:
    assert nested_repeats(re.compile("(a+)+b"))
    assert [one.id for one in SIGNATURES if nested_repeats(one.pattern)] == []
    assert [one.text for one in tables.progress() if nested_repeats(one.pattern)] == []


def test_an_entry_that_is_none_is_refused() -> None:
    good = {"id": "a", "component": "b", "level": "cause", "pattern": "x", "cause": "c.", "remedy": "r.", "source": "s"}
    assert Signature.from_data(good).pattern.search("x")
    for bad in ({**good, "level": "hunch"}, {**good, "pattern": "("}):
        with pytest.raises((ValueError, re.error)):
            Signature.from_data(bad)
