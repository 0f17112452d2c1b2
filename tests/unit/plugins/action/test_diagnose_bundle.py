# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action `diagnose_bundle`: one answer for each deployment, and one file that only its owner reads."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from action_runner import run_action
from ansible import constants as C
from ansible.errors import AnsibleError
from ansible_collections.fullrank.serving.plugins.action.diagnose_bundle import ActionModule
from ansible_collections.fullrank.serving.plugins.plugin_utils.actions.gathering import keep, place

RUNS = {
    "rank_state": {"active": "active", "exists": True, "result": "success", "exit_status": 0},
    "sightings": [],
    "last_error": {},
}
HEAD = {**RUNS, "answer": {"ready": True, "error": "", "seconds": 0.2}}
GONE = {"unreachable": True, "msg": "no route to host"}


@pytest.fixture(autouse=True)
def own_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(C, "DEFAULT_LOCAL_TMP", str(tmp_path / "run"))


def bundle(monkeypatch: pytest.MonkeyPatch, folder: Path, check_mode: bool = False, **changes: Any) -> dict[str, Any]:
    params = {
        "deployments": {"tiny": [["n1", "n2"]]},
        "results": {"n1": HEAD, "n2": RUNS},
        "directory": str(folder / "bundles"),
        **changes,
    }
    return run_action(monkeypatch, ActionModule, params, check_mode=check_mode)[0]


def test_what_was_gathered_and_the_answer_are_in_one_private_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    keep(place() / "tiny" / "n1", {"journal.log": "a line\n"})
    answer = bundle(monkeypatch, tmp_path)
    file = Path(answer["bundle"])
    assert file.parent == tmp_path / "bundles" and file.stat().st_mode & 0o777 == 0o600
    assert answer["report"][0].startswith("== tiny: healthy: all 2 ranks run")
    assert answer["report"][-1] == f"Everything is in {file}"
    with tarfile.open(file) as archive:
        texts = {name.partition("/")[2]: archive.extractfile(name) for name in archive.getnames()}
        read = {name: entry.read().decode() for name, entry in texts.items() if entry}
    assert read["tiny/n1/journal.log"] == "a line\n"
    assert read["report.txt"].splitlines() == answer["report"][:-1]
    assert json.loads(read["report.json"])["tiny"]["state"] == "healthy"


def test_check_mode_answers_and_writes_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    answer = bundle(monkeypatch, tmp_path, check_mode=True)
    assert (answer["bundle"], answer["diagnosis"]["tiny"]["state"]) == ("", "healthy")
    assert list(tmp_path.iterdir()) == []


def test_replicas_are_answered_one_by_one_and_a_lost_node_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    answer = bundle(monkeypatch, tmp_path, deployments={"tiny": [["n1"], ["n2"]]}, results={"n1": HEAD, "n2": GONE})
    states = {name: one["state"] for name, one in answer["diagnosis"].items()}
    assert states == {"tiny replica 0": "healthy", "tiny replica 1": "failing"}
    assert any("n2" in line and "no route to host" in line for line in answer["report"])


def test_a_host_without_a_result_is_not_taken_for_healthy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    answer = bundle(monkeypatch, tmp_path, results={"n1": HEAD, "n2": {}})
    assert answer["diagnosis"]["tiny"]["state"] == "failing"


def test_a_host_outside_the_limit_is_not_judged_and_a_deployment_outside_has_no_report(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    both = {"tiny": [["n1", "n2"]], "other": [["n3"]]}
    answer = bundle(monkeypatch, tmp_path, deployments=both, results={"n1": HEAD})
    assert {name: one["state"] for name, one in answer["diagnosis"].items()} == {"tiny": "healthy"}
    assert "--limit leaves out rank 1 (n2)" in answer["report"][0]


@pytest.mark.parametrize("left_out", ["deployments", "results", "directory"])
def test_what_is_required(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, left_out: str) -> None:
    params: dict[str, Any] = {"deployments": {}, "results": {}, "directory": str(tmp_path)}
    del params[left_out]
    with pytest.raises(AnsibleError, match=f"missing required arguments: {left_out}"):
        run_action(monkeypatch, ActionModule, params)
