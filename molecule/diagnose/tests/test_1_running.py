# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A start, watched (a stand-in writes the log of a real engine), status, and a bundle without the planted secrets."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

PLANTED = ("planted-key-4711", "planted-token-4712")


STANDIN = {
    "engine_venv": "/opt/standins",
    "engine_dynamic_user": False,
    "comm_check_gate": False,
    "engine_env": {"STANDIN": "serves", "HF_TOKEN": PLANTED[1]},
}


def contents(bundle: str) -> dict[str, str]:
    """Path below the bundle's folder → text."""
    with tarfile.open(bundle) as archive:
        files = [member for member in archive.getmembers() if member.isfile()]
        return {one.name.partition("/")[2]: archive.extractfile(one).read().decode() for one in files}  # type: ignore[union-attr]


def test_a_start_reports_what_each_rank_does_as_events(play: Callable[..., Any]) -> None:
    run = play("playbooks/engines.yml", **STANDIN)
    assert run.rc == 0
    # ansible-runner hands on what Ansible displays as events of the kind verbose
    messages = [event["stdout"] for event in run.events if event["event"] == "verbose"]
    for rank, words in [
        ("tiny rank 0 (n1)", "initialising gloo with 2 processes, waiting for rank 1"),
        ("tiny rank 0 (n1)", "KV cache for"),
        ("tiny rank 1 (n2)", "KV cache for"),
    ]:
        assert any(rank in line and words in line for line in messages), (rank, words, messages)


def test_status_is_one_table(play: Callable[..., Any]) -> None:
    run = play("playbooks/status.yml", **STANDIN)
    assert run.rc == 0
    head, other = run.outcome["status"]
    assert (head["health"], other["health"]) == ("ready", "ready")
    assert head["engine"] == other["engine"] == "vllm 0.32.0"
    assert (head["running"], head["waiting"], head["kv_usage"], head["tokens_per_s"]) == (2, 1, 0.25, 0)
    assert other["running"] is None and head["gpu_memory_used_mib"] is None
    assert "TOKENS/S" in run.text and "GPU MEMORY" not in run.text


def test_a_healthy_deployment_is_reported_healthy_and_its_bundle_holds_no_secret(
    play: Callable[..., Any], tmp_path: Path
) -> None:
    run = play("playbooks/diagnose.yml", **STANDIN, diagnose_directory=str(tmp_path))
    assert run.rc == 0 and run.changed == 0
    assert run.outcome["diagnosis"]["tiny"]["state"] == "healthy"
    assert "tiny: healthy: all 2 ranks run and the endpoint has answered" in run.text
    bundle = run.outcome["diagnosis_bundle"]
    assert [str(path) for path in tmp_path.iterdir() if path.suffix == ".gz"] == [bundle]
    files = contents(bundle)
    for host in ("n1", "n2"):
        assert "Starting to load model" in files[f"tiny/{host}/journal.log"]
        assert "ExecStart" in files[f"tiny/{host}/unit.txt"]
        assert "MemTotal" in files[f"tiny/{host}/memory.txt"]
    assert "HF_TOKEN=(redacted)" in files["tiny/n1/unit.txt"]
    for name, text in files.items():
        assert not any(secret in text for secret in PLANTED), name
    assert not any(secret in run.text for secret in PLANTED)


def test_check_mode_gives_the_answer_and_writes_nothing(play: Callable[..., Any], tmp_path: Path) -> None:
    run = play("playbooks/diagnose.yml", "--check", **STANDIN, diagnose_directory=str(tmp_path / "out"))
    assert run.rc == 0
    assert run.outcome["diagnosis"]["tiny"]["state"] == "healthy" and run.outcome["diagnosis_bundle"] == ""
    assert not (tmp_path / "out").exists()
    assert play("playbooks/stop.yml").rc == 0
