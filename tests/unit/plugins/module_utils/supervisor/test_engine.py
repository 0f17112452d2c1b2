# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a supervisor sees of its engine, through a stand-in of systemctl."""

from __future__ import annotations

import errno
import subprocess
from pathlib import Path

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.common import files
from ansible_collections.fullrank.serving.plugins.module_utils.supervisor import decisions
from ansible_collections.fullrank.serving.plugins.module_utils.supervisor.decisions import Engine
from ansible_collections.fullrank.serving.plugins.module_utils.supervisor.engine import LocalEngine, lacks
from ansible_collections.fullrank.serving.plugins.module_utils.systemd import names, unit_text
from ansible_collections.fullrank.serving.plugins.module_utils.weights import folder, manifest


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalEngine:
    one = LocalEngine("tiny", tmp_path / "memory", [], [], 0)
    monkeypatch.setattr(one, "_systemctl", lambda *words: subprocess.CompletedProcess(words, 0, SHOWN[0], ""))
    return one


RUNS = "ActiveState=active\nResult=success\nExecMainStatus=0\nInvocationID=abc\nControlGroup=\n"
SHOWN = [RUNS]


def look(engine: LocalEngine, now: float = 1.0) -> Engine:
    seen = engine.look(now, False)
    assert seen is not None
    return seen


def test_a_moment_without_an_answer_of_systemd_tells_nothing(engine: LocalEngine) -> None:
    SHOWN[0] = RUNS
    assert look(engine).state == decisions.RUNNING
    SHOWN[0] = ""
    assert engine.look(2.0, False) is None
    SHOWN[0] = RUNS.replace("=active", "=failed")
    assert look(engine).state == decisions.STOPPED


def test_an_engine_whose_main_process_has_ended_reports_how(engine: LocalEngine, tmp_path: Path) -> None:
    (tmp_path / "memory").write_text("7 abc\n")
    SHOWN[0] = RUNS.replace("=active", "=deactivating").replace("=success", "=signal").replace("Status=0", "Status=9")
    seen = look(engine)
    assert (seen.state, seen.epoch, seen.fault) == (
        decisions.STOPPING,
        7,
        "its unit is deactivating (signal, exit status 9)",
    )


def test_a_start_that_waits_for_its_turn_is_not_the_end_of_an_engine(engine: LocalEngine) -> None:
    SHOWN[0] = RUNS.replace("=active", "=inactive") + "Job=17\n"
    assert look(engine) == Engine(decisions.STARTING)
    SHOWN[0] = RUNS.replace("=active", "=inactive") + "Job=0\n"
    assert look(engine).state == decisions.STOPPED


def test_a_memory_that_cannot_be_written_is_kept_and_written_later(
    engine: LocalEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_unused: object, **_options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(
        one := engine,
        "_systemctl",
        lambda *words: subprocess.CompletedProcess(words, 0, "abc\n" if "--value" in words else RUNS, ""),
    )
    with monkeypatch.context() as patched:
        patched.setattr(files, "write", full)
        one.start(7)
        assert look(one).epoch == look(one).tried == 7
        assert one.trouble == f"cannot write {tmp_path}/memory: No space left on device"
    assert look(one).epoch == 7
    assert one.trouble == "" and (tmp_path / "memory").read_text() == "7 abc\n"


def test_a_command_that_cannot_be_run_is_a_command_that_failed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    one = LocalEngine("tiny", tmp_path / "memory", [], [], 0)

    def none_left(*_unused: object, **_options: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(subprocess, "run", none_left)
    assert one.look(1.0, False) is None
    one.kill()
    one.start(7)
    assert one._refused == "[Errno 24] Too many open files"


def test_the_launch_that_was_ready_is_noted_while_its_process_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names, "ready_mark", lambda name: str(tmp_path / f"var/{name}.ready"))
    one = LocalEngine("tiny", tmp_path / "memory", [], [], 0)
    process = subprocess.Popen(["sleep", "60"], env={unit_text.SPEC_HASH_VARIABLE: "abc"})
    try:
        for pid, noted in (("0", False), (str(process.pid), True)):
            monkeypatch.setattr(
                one, "_systemctl", lambda *words, pid=pid: subprocess.CompletedProcess(words, 0, pid, "")
            )
            assert one.note_ready() is noted
    finally:
        process.kill()
        process.wait()
    assert (tmp_path / "var/tiny.ready").read_text() == "abc\n"


def test_weights_whose_ready_belongs_to_another_manifest_are_not_served(tmp_path: Path) -> None:
    ready = str(tmp_path / manifest.READY)
    assert "is not there" in lacks([ready], [])
    folder.write_manifest(tmp_path, manifest.build({"hub": "path", "repo": "r", "revision": "1"}, []))
    folder.mark_ready(tmp_path)
    assert lacks([ready], []) == ""
    (tmp_path / manifest.MANIFEST).write_bytes(
        manifest.render(manifest.build({"hub": "path", "repo": "r", "revision": "2"}, []))
    )
    assert "belongs to another manifest" in lacks([ready], [])


def test_an_engine_that_runs_by_its_former_name_is_seen_and_starts_by_todays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names, "FORMER_UNITS", str(tmp_path))
    (tmp_path / "memory").write_text("7 abc\n")
    former = tmp_path / "fullrank-tiny.service"
    former.touch()
    calls: list[tuple[str, ...]] = []
    one = LocalEngine("tiny", tmp_path / "memory", [], [], 0)

    def systemctl(*words: str) -> subprocess.CompletedProcess[str]:
        calls.append(words)
        return subprocess.CompletedProcess(words, 0, RUNS, "")

    monkeypatch.setattr(one, "_systemctl", systemctl)
    assert look(one).epoch == 7
    one.kill()
    assert {words[-1] for words in calls} == {"fullrank-tiny.service"}
    calls.clear()
    one.start(8)
    assert not former.exists() and calls[0] == ("daemon-reload",)
    assert calls[1] == ("reset-failed", "fullrank-tiny.service")
    assert {words[-1] for words in calls[2:]} == {"fullrank-rank@tiny.service"}


def test_the_log_is_that_of_the_unit_and_recent(engine: LocalEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []

    def journal(command: list[str], _limit: float) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        return subprocess.CompletedProcess(command, 0, "[x] Decode batch\n", "")

    monkeypatch.setattr(engine, "_run", journal)
    assert engine.log(10.0) == "[x] Decode batch\n"
    assert commands[0][:3] == ["journalctl", "--unit=fullrank-rank@tiny.service", "--since=-10s"]
