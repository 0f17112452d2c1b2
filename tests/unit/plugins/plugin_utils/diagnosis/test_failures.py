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
from ansible_collections.fullrank.serving.plugins.plugin_utils.diagnosis.log_line import QUOTED
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.engines import lmdeploy, sglang, vllm
from entry_points import options
from hypothesis import given
from hypothesis import strategies as st
from places import CHECKOUT, DATA

RECORDED = yaml.safe_load((DATA / "failures/recorded.yml").read_text())
CASES = yaml.safe_load((DATA / "failures/cases.yml").read_text())
GOOD = yaml.safe_load((DATA / "failures/harmless.yml").read_text())
SIGNATURES = tables.failures()
LOGS = DATA / "logs"


def log(name: str) -> list[str]:
    return (LOGS / f"{name}.log").read_text().splitlines()


def found(*lines: str) -> list[str]:
    return [one["id"] for one in failures.search(SIGNATURES, lines)]


BY_ID = {signature.id: signature for signature in SIGNATURES}


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda one: f"{one['id']}: {one['line'][:40]}")
def test_a_recorded_line_is_known_as_what_it_is(recorded: dict[str, str]) -> None:
    assert recorded["source"]
    signature = BY_ID[recorded["id"]]
    lines = recorded["line"].splitlines() * (signature.stalls or 1)
    assert found(*lines) == ([] if signature.level == "harmless" else [signature.id])
    if signature.level == "harmless":
        assert failures.last_error(lines, SIGNATURES) == ""


def test_every_signature_has_a_recording_and_there_are_enough() -> None:
    ids = [signature.id for signature in SIGNATURES]
    assert sorted(ids) == sorted(set(ids))
    assert {one["id"] for one in RECORDED} == set(ids)
    assert len([one for one in SIGNATURES if one.level != "harmless"]) >= 300
    wanted = {
        "vllm",
        "sglang",
        "lmdeploy",
        "ray",
        "nccl",
        "cuda",
        "docker",
        "toolkit",
        "rdma",
        "hub",
        "systemd",
        "fabric",
        "xid",
    }
    assert wanted <= {signature.component for signature in SIGNATURES}


ROLES = (
    "engine",
    "deployment",
    "docker",
    "nvidia_driver",
    "nvidia_container_toolkit",
    "rdma",
    "host_tuning",
    "model",
    "preflight",
)
# names of things that begin like variables of ours
NO_VARIABLES = {
    "engine_args",
    "engine_info_bootstrap_port",
    "model_max_length",
    "nvidia_peermem",
    "nvidia_uvm",
    "model_loader",
}


def test_remedies_name_variables_that_there_are() -> None:
    known = {name for role in ROLES for name in options(role)} | set(ROLES) | NO_VARIABLES | {"nodes_roles"}
    prefix = re.compile(rf"\b(?:{'|'.join(ROLES)}|nodes)_[a-z_]+")
    for signature in SIGNATURES:
        assert set(prefix.findall(signature.remedy)) <= known, signature.id
        assert signature.cause.endswith(".") and signature.remedy.endswith("."), signature.id
        assert len(signature.cause) < 500 and len(signature.remedy) < 500, signature.id


def test_remedies_name_playbooks_pages_and_mirrors_that_there_are() -> None:
    texts = "".join(path.read_text() for path in CHECKOUT.glob("roles/*/meta/*.yml"))
    for signature in SIGNATURES:
        for name in re.findall(r"\b(?:playbooks|docs)/[\w/-]+\.\w+", signature.remedy):
            assert (CHECKOUT / name).exists(), f"{signature.id}: {name}"
        for name in re.findall(r"\bmirrors\.(\w+)", signature.remedy):
            assert f"mirrors.{name}" in texts or f"mirrors['{name}']" in texts, f"{signature.id}: {name}"


def test_no_remedy_writes_an_option_that_a_variable_owns() -> None:
    """What the plan refuses in engine_args (option-owned) is no remedy."""
    owned = {*vllm.OWNED, *sglang.OWNED, *lmdeploy.OWNED}
    for signature in SIGNATURES:
        assert not set(re.findall(r"engine_args\.([a-z_0-9]+)", signature.remedy)) & owned, signature.id


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


@pytest.mark.parametrize("case", CASES, ids=lambda one: one["source"].removeprefix("https://github.com/"))
def test_a_public_report_has_the_cause_that_was_found(case: dict[str, Any]) -> None:
    found = failures.rank_causes(SIGNATURES, {0: failures.search(SIGNATURES, case["lines"])})
    assert [one["id"] for one in found[:1]] == [case["cause"]]


def test_there_are_enough_public_reports() -> None:
    assert len(CASES) >= 60 and len(GOOD) >= 25
    assert len({case["source"] for case in CASES}) == len(CASES)


@pytest.mark.parametrize("good", GOOD, ids=lambda one: one["source"])
def test_a_start_that_went_on_raises_no_alarm(good: dict[str, Any]) -> None:
    assert failures.search(SIGNATURES, good["lines"]) == []
    assert failures.most_telling(SIGNATURES, good["lines"]) is None


def test_a_warning_counts_where_something_failed_afterwards_and_nothing_else_names_a_cause() -> None:
    warning = "WARNING 08-19 14:58:31 [a.py:1] Address already in use"
    assert found(warning) == []
    assert found(warning, "RuntimeError: it failed") == ["port-in-use"]
    assert found(warning, "OSError: [Errno 28] No space left on device") == ["disk-full"]


def test_a_rank_that_waits_is_known_by_the_end_of_its_log() -> None:
    waits = "(EngineCore_DP0 pid=9) INFO 11-30 22:12:44 [core.py:1247] Waiting for READY message from DP Coordinator..."
    assert found(waits) == [] and found(waits, waits, "loading") == []
    assert found(waits, waits) == ["vllm-dp-coordinator-waits"]


def test_ranks_that_met_in_the_end_had_no_trouble_with_it() -> None:
    late = "[E1226 15:44:24.79 socket.cpp:1011] The client socket has timed out after 600s while trying to connect to (n5, 8000)."
    assert found(late) == ["rendezvous-unreachable"]
    met = "(Worker pid=8) INFO 12-26 15:50:00 [parallel_state.py:1004] rank 8 in world size 16 is assigned as DP rank 0"
    assert found(late, met) == [] and found(met, late) == ["rendezvous-unreachable"]


def test_what_came_first_in_a_log_stands_first() -> None:
    first, second = "OSError: [Errno 28] No space left on device", "ModuleNotFoundError: No module named 'x'"
    assert [one[0] for one in causes(r0=[first, second])] == ["disk-full", "package-missing"]
    assert [one[0] for one in causes(r0=[second, first])] == ["package-missing", "disk-full"]


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
    assert len(one["line"]) <= QUOTED + 2 and "Duplicate GPU detected : rank 1 and rank 0" in one["line"]


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
    assert only[0].startswith("What is known: vLLM's engine process ended")
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


@given(st.lists(st.text(max_size=80) | st.sampled_from([part for one in CASES for part in one["lines"]]), max_size=12))
def test_no_log_is_an_error(lines: list[str]) -> None:
    found = failures.search(SIGNATURES, lines)
    assert {one["number"] for one in found} <= set(range(len(lines)))
    failures.cause_lines(failures.rank_causes(SIGNATURES, {0: found}), ["n1"])
    failures.most_telling(SIGNATURES, lines)


@pytest.mark.usefixtures("no_longer_than_half_a_minute")
def test_a_long_log_is_read() -> None:
    line = "(APIServer pid=1) INFO 08-19 15:00:01 [loggers.py:71] Engine 000: Avg prompt throughput: 1.0 tokens/s"
    lines = [*[f"{line} {number}" for number in range(50_000)], "OSError: [Errno 28] No space left on device"]
    assert found(*lines) == ["disk-full"]


@pytest.fixture
def no_longer_than_half_a_minute() -> Iterator[None]:
    """Of a processor's time; not a measurement: catastrophic backtracking takes longer than anybody waits."""

    def stop(*_: Any) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, 30)
    yield
    signal.setitimer(signal.ITIMER_PROF, 0)
    signal.signal(signal.SIGPROF, before)


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
