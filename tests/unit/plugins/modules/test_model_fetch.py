# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module `model_fetch`, with the program run by a stand-in of systemd: a folder into another, and what is refused."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.weights import folder
from ansible_collections.fullrank.serving.plugins.module_utils.weights.fetch import plan
from ansible_collections.fullrank.serving.plugins.modules import model_fetch
from module_runner import call
from transient_standin import Systemd, properties

TOKEN = "hf_not-to-be-seen"


class Node:
    """A source, a target, and the options that bring the one to the other."""

    def __init__(self, work: Path, systemd: Systemd) -> None:
        self.systemd = systemd
        self.source, self.target = work / "source", work / "target"
        self.source.mkdir()
        (self.source / "model.safetensors").write_bytes(b"x" * 1000)
        (self.source / "config.json").write_text("{}")
        self.options = {"path": str(self.target), "hub": "path", "repo": str(self.source), "python": sys.executable}

    def call(self, **more: Any) -> dict[str, Any]:
        return call(model_fetch, **{**self.options, **more})

    @property
    def run_folder(self) -> Path:
        return Path(plan.run_folder(str(self.target)))

    def program_runs(self) -> None:
        """A start runs the program to its end, as it was written for the node."""
        folder = self.run_folder
        program = f"PYTHONPATH={folder}/lib {sys.executable} -m fullrank_fetch.weights.fetch.worker {folder}"
        self.systemd.on_start(f"rm {self.systemd.folder}/active; {program} || true")


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    monkeypatch.setattr(plan, "RUN", str(tmp_path / "run"))
    return Node(tmp_path, Systemd(tmp_path / "systemd", monkeypatch))


def test_a_fetch_is_started_and_the_second_run_changes_nothing(node: Node) -> None:
    node.program_runs()
    first = node.call()
    assert (first["changed"], first["fetch"]["state"]) == (True, "ready")
    assert first["manifest_sha256"] == folder.look(node.target).digest
    assert (node.target / "model.safetensors").read_bytes() == b"x" * 1000
    assert not node.run_folder.exists()
    second = node.call()
    assert (second["changed"], second["fetch"]["state"]) == (False, "ready")
    assert len(node.systemd.calls("systemd-run")) == 1


def test_check_mode_predicts_and_touches_nothing(node: Node) -> None:
    found = node.call(check_mode=True)
    assert (found["changed"], found["fetch"]["state"]) == (True, "needed")
    assert node.systemd.calls("systemd-run") == [] and not node.target.exists()


def test_a_fetch_that_runs_is_joined(node: Node) -> None:
    first = node.call()
    assert (first["changed"], first["fetch"]["state"]) == (True, "running")
    (node.run_folder / "progress.json").write_text(json.dumps({"phase": "fetching", "bytes": 1, "total": 2}))
    second = node.call()
    assert (second["changed"], second["fetch"]) == (
        *(False, {"state": "running", "error": "", "phase": "fetching", "bytes": 1, "total": 2}),
    )
    assert len(node.systemd.calls("systemd-run")) == 1


def test_a_look_starts_nothing(node: Node) -> None:
    assert node.call(start=False)["fetch"]["state"] == "needed"
    assert node.systemd.calls("systemd-run") == []


def test_the_unit_can_write_to_its_folders_only_and_shows_no_secret(node: Node) -> None:
    node.call(token=TOKEN)
    [words] = node.systemd.calls("systemd-run")
    assert TOKEN not in " ".join(words)
    assert (node.run_folder / "token").read_text() == TOKEN
    assert (node.run_folder / "token").stat().st_mode & 0o777 == 0o600
    assert node.run_folder.stat().st_mode & 0o777 == 0o700
    assert {f"--property=ReadWritePaths={path}" for path in (node.target, node.run_folder)} < set(words)
    assert properties(words)["RuntimeMaxSec"] == "259200"


def test_an_end_before_time_is_a_failure_with_the_journal_and_leaves_no_token(node: Node) -> None:
    node.call(token=TOKEN)
    node.systemd.ended()
    found = node.call(start=False)
    assert found["fetch"]["state"] == "failed"
    assert found["fetch"]["error"].endswith("the last line of the journal")
    assert not (node.run_folder / "token").exists()
    assert not node.target.exists()  # nothing came


def test_the_programs_own_error_is_reported(node: Node) -> None:
    node.options["repo"] = "/nowhere"
    node.program_runs()
    assert node.call()["fetch"] | {"at": 0} == {
        **{"state": "failed", "phase": "failed", "error": "there is no folder /nowhere on this node"},
        **{"bytes": 0, "total": 0, "files": 0, "files_done": 0, "at": 0},
    }


def test_another_revision_is_refused(node: Node) -> None:
    node.program_runs()
    node.call()
    found = node.call(revision="1" * 40)
    assert found["failed"] and "a folder of its own" in found["msg"]


def test_a_client_that_is_not_installed_is_named(node: Node) -> None:
    found = node.call(python="/nowhere/bin/python")
    assert found["failed"] and "there is no /nowhere/bin/python" in found["msg"]


def test_files_of_the_controller_need_room(node: Node) -> None:
    files = [{"path": "a", "size": 1 << 60, "sha256": "0" * 64}]
    found = node.call(hub="controller", files=files, start=False)
    assert "are still to come" in found["fetch"]["lacking_space"]


@pytest.mark.parametrize("options", [{"hub": "ftp"}, {"workers": "many"}, {"state": "started"}])
def test_options_that_it_does_not_know_are_refused(node: Node, options: dict[str, Any]) -> None:
    assert node.call(**options)["failed"]


@pytest.mark.parametrize("check", [False, True])
def test_a_folder_of_others_is_refused_before_anything_is_made(node: Node, check: bool) -> None:
    node.target.mkdir()
    (node.target / "secret.conf").write_text("others'")
    found = node.call(_ansible_check_mode=check)
    assert found["failed"] and "holds secret.conf and has no .fullrank" in found["msg"]
    assert [one.name for one in node.target.iterdir()] == ["secret.conf"]
    assert not node.run_folder.exists()
    (node.target / ".fullrank").mkdir()
    assert not node.call(_ansible_check_mode=True).get("failed")


@pytest.mark.parametrize("repo", ["/data/m", "/usr"])
def test_a_folder_of_the_system_is_refused(node: Node, repo: str) -> None:
    found = node.call(path="/usr", repo=repo, _ansible_check_mode=True)
    assert found["failed"] and "/usr is a folder of the system" in found["msg"]
