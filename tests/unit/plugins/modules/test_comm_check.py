# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module `comm_check`: what it starts, and what it returns of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.modules import comm_check
from module_runner import call
from transient_standin import Systemd, properties

RECORD = 'FULLRANK-COMM {"kind": "end", "rank": 1}'


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Systemd:
    found = Systemd(tmp_path / "systemd", monkeypatch)
    found.on_start(f"echo '{RECORD}'; echo 'a reason' >&2; exit 3")
    return found


@pytest.fixture
def options(tmp_path: Path, systemd: Systemd) -> dict[str, Any]:
    python = tmp_path / "venv/bin/python"
    python.parent.mkdir(parents=True)
    python.touch()
    return {
        **{"deployment": "tiny", "venv": str(tmp_path / "venv"), "rank": 1, "backend": "gloo"},
        **{"addresses": ["192.0.2.1", "192.0.2.2"], "env": {"A": "1"}},
    }


def test_a_node_takes_part_and_returns_what_it_measured(options: dict[str, Any], systemd: Systemd) -> None:
    found = call(comm_check, dynamic_user=True, **options)
    assert (found["changed"], found["exit_status"], found["timed_out"]) == (False, 3, False)
    assert found["records"] == [{"kind": "end", "rank": 1}]
    assert found["log"] == ["a reason"]
    [words] = systemd.calls("systemd-run")
    assert {"--node-rank=1", "--nnodes=2", "--setenv=A=1", "--property=DynamicUser=yes"} < set(words)
    assert properties(words)["ProtectSystem"] == "strict"
    assert (
        systemd.calls("systemctl")[0] == systemd.calls("systemctl")[-1] == ["stop", "fullrank-comm-check-tiny.service"]
    )


def test_check_mode_sends_nothing(options: dict[str, Any], systemd: Systemd) -> None:
    found = call(comm_check, check_mode=True, **options)
    assert (found["changed"], found["skipped"]) == (False, True)
    assert systemd.calls("systemd-run") == []


def test_a_node_without_the_environment_takes_no_part_and_is_no_failure(options: dict[str, Any]) -> None:
    found = call(comm_check, **options | {"venv": "/nowhere"})
    assert "failed" not in found and "records" not in found
    assert "there is no /nowhere/bin/python" in found["msg"]


def test_a_container_is_removed_and_its_client_has_no_sandbox(
    options: dict[str, Any], systemd: Systemd, tmp_path: Path
) -> None:
    runtime = tmp_path / "systemd/docker"
    runtime.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/docker-calls\n')
    runtime.chmod(0o755)
    container = {"runtime": str(runtime), "settings": ["--network", "host"], "image": "r/e:1"}
    call(comm_check, **options | {"container": container})
    [words] = systemd.calls("systemd-run")
    assert "ProtectSystem" not in properties(words)
    assert words[words.index("--") + 1 :][:2] == [str(runtime), "run"]
    assert (tmp_path / "docker-calls").read_text() == "rm --force fullrank-comm-check-tiny\n"


def test_only_the_head_starts_what_mpi_runs(options: dict[str, Any], systemd: Systemd) -> None:
    call(comm_check, **options | {"backend": "mpi"})
    assert systemd.calls("systemd-run") == []
    call(comm_check, **options | {"backend": "mpi", "rank": 0})
    assert "mpirun" in systemd.calls("systemd-run")[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"venv": None}, "venv, container"),
        ({"backend": "mpi", "container": {"runtime": "docker"}}, "cannot run in containers"),
        ({"backend": "ib"}, "backend"),
    ],
)
def test_what_cannot_be_checked_is_refused(options: dict[str, Any], changes: dict[str, Any], message: str) -> None:
    options = {name: value for name, value in (options | changes).items() if value is not None}
    found = call(comm_check, **options)
    assert found["failed"] and message in found["msg"]
