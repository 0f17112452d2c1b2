# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each way to fail is named: by the real engine, and by a stand-in that writes the logs of real ones."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from testinfra.host import Host

UNIT = "fullrank-rank@tiny.service"
NO_GATE = {"comm_check_gate": False}
STANDIN = {"engine_venv": "/opt/standins", "engine_dynamic_user": False, "engine_ready_timeout": 60, **NO_GATE}


@pytest.fixture(autouse=True)
def nothing_runs_afterwards(nodes: dict[str, Host]) -> Iterator[None]:
    yield
    assert not any(host.service(UNIT).is_running for host in nodes.values())


def test_a_kv_cache_that_is_too_small_is_named_by_the_failed_start_and_by_the_diagnosis(
    play: Callable[..., Any], tmp_path: Path
) -> None:
    """The real engine, with room for less than one block."""
    small = {"max_model_len": 256, "max_num_seqs": 4, "enforce_eager": True, "kv_cache_memory_bytes": 4096}
    run = play("playbooks/engines.yml", engine_args=small, **NO_GATE)
    assert run.rc != 0
    report = run.text[run.text.index("tiny did not come up") :]
    assert report.index("Likely cause: The weights and the activations leave nothing") < report.index("== rank 0")
    assert "No available memory for the cache blocks" in report and "What to do: Raise engine_args" in report
    outcome = play("playbooks/diagnose.yml", diagnose_directory=str(tmp_path)).outcome
    found = outcome["diagnosis"]["tiny"]
    assert found["state"] == "failing"
    assert found["causes"][0]["id"] == "vllm-no-kv-cache"
    with tarfile.open(outcome["diagnosis_bundle"]) as archive:
        versions = next(member for member in archive.getmembers() if member.name.endswith("tiny/n1/versions.json"))
        assert json.load(archive.extractfile(versions))["torch"]  # type: ignore[arg-type]


def test_a_port_that_is_taken_while_the_engine_loads(nodes: dict[str, Host], play: Callable[..., Any]) -> None:
    """Preflight cannot see what takes the port later; the engine's own words are understood."""
    run = play(
        "playbooks/engines.yml",
        **STANDIN,
        engine_env={"STANDIN": "prints", "STANDIN_RANK": "0", "STANDIN_LINE": "port-in-use"},
    )
    assert run.rc != 0
    assert "Likely cause: Another process holds a port" in run.text
    assert "rank 0 (n1): OSError: [Errno 98] Address already in use" in run.text


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        ("cuda-out-of-memory", "A GPU ran out of memory."),
        ("rdma-completion-error", "The NICs cannot talk to each other over RDMA"),
        ("cuda-system-not-ready", "The NVSwitch fabric is not ready"),
    ],
)
def test_what_a_real_engine_printed_on_the_second_rank(play: Callable[..., Any], line: str, cause: str) -> None:
    run = play(
        "playbooks/engines.yml", **STANDIN, engine_env={"STANDIN": "prints", "STANDIN_RANK": "1", "STANDIN_LINE": line}
    )
    assert run.rc != 0
    assert f"Likely cause: {cause}" in run.text
    assert "   rank 1 (n2): " in run.text


def test_an_engine_that_is_not_there(play: Callable[..., Any], nodes: dict[str, Host], tmp_path: Path) -> None:
    """systemd's own words; the program is taken away after the start was checked."""
    nodes["n1"].check_output(
        f"sed -i 's#^ExecStart=[^ ]*#ExecStart=/opt/absent/bin/vllm#' /etc/systemd/system/{UNIT} && systemctl daemon-reload "
        f"&& (systemctl start {UNIT} || true)"
    )
    run = play("playbooks/diagnose.yml", diagnose_directory=str(tmp_path))
    assert run.outcome["diagnosis"]["tiny"]["causes"][0]["id"] == "systemd-exec"
    nodes["n1"].check_output(f"systemctl reset-failed {UNIT}")


def test_a_node_that_does_not_answer_is_named_and_the_others_are_gathered(
    play: Callable[..., Any], ground: Callable[..., str], tmp_path: Path
) -> None:
    ground("cut", "n2")
    try:
        run = play("playbooks/diagnose.yml", "--timeout", "5", diagnose_directory=str(tmp_path))
        status = play("playbooks/status.yml", "--timeout", "5")
    finally:
        ground("heal", "n2")
    assert run.rc == 0
    assert "rank 1 (n2): the node does not answer" in run.text
    assert run.outcome["diagnosis"]["tiny"]["ranks"][0]["host"] == "n1"
    assert status.rc != 0
    assert "tiny rank 1 (n2): unknown" in status.text
