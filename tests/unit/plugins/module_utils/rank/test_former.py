# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A rank under its former names, on a node whose files lie in a folder and whose systemd is a stand-in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.common.changes import Changes
from ansible_collections.fullrank.serving.plugins.module_utils.rank.former import Former
from ansible_collections.fullrank.serving.plugins.module_utils.systemd import names
from ansible_collections.fullrank.serving.plugins.module_utils.systemd.state import rank_unit

ENGINE, SUPERVISOR = "fullrank-tiny.service", "fullrank-tiny-group.service"


class Systemd:
    """Units that run or are enabled; what was asked of it."""

    def __init__(self) -> None:
        self.active, self.enabled = {ENGINE, SUPERVISOR}, {SUPERVISOR}
        self.calls: list[str] = []

    def __call__(self, words: list[str], check_rc: bool = False) -> tuple[int, str, str]:
        verb, unit = words[1], words[-1]
        self.calls.append(" ".join(words[1:]))
        if verb == "kill":
            self.active.discard(unit)
        if verb == "disable":
            self.enabled.discard(unit)
        active, enabled = unit in self.active, unit in self.enabled
        shown = f"LoadState=loaded\nActiveState={'active' if active else 'inactive'}\n"
        return 0, shown + f"UnitFileState={'enabled' if enabled else 'disabled'}\n", ""


class Node:
    """Where a first version was: its files, as it laid them down."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.systemd = folder, Systemd()
        places = {"CONFIG": "etc", "PROGRAMS": "lib", "UNITS": "units", "FORMER_UNITS": "run"}
        for name, place in places.items():
            monkeypatch.setattr(names, name, str(folder / place))
        launch = [str(folder / "units" / ENGINE), str(folder / "etc/tiny.secret.env")]
        self.write("etc/tiny.group.json", json.dumps({"files": launch}))
        files = (
            "etc/tiny.group.secret.json",
            "etc/tiny.secret.env",
            "etc/tiny.previous.json",
            "etc/other.supervisor.json",
        )
        programs = ("lib/tiny/fullrank_supervisor/agent.py", "lib/supervisor/tiny/fullrank_supervisor/agent.py")
        for path in (*files, *programs, f"units/{ENGINE}", f"units/{SUPERVISOR}", "units/fullrank-rank@tiny.service"):
            self.write(path, f"text of {path}")
        self.former = Former("tiny", self.systemd)

    def write(self, path: str, text: str) -> None:
        (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / path).write_text(text)

    def files(self) -> set[str]:
        return {str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file()}

    def take_over(self, **options: Any) -> None:
        self.former.park()
        self.former.end_supervisor()
        self.former.forget(Changes(**{"check_mode": False, **options}), [self.folder / "etc/tiny.secret.env"])


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    return Node(tmp_path, monkeypatch)


OF_TODAY = {
    "etc/other.supervisor.json",
    "etc/tiny.secret.env",
    "lib/supervisor/tiny/fullrank_supervisor/agent.py",
    "units/fullrank-rank@tiny.service",
}


def test_a_running_engine_keeps_its_unit_outside_etc(node: Node) -> None:
    assert rank_unit("tiny") == ENGINE
    node.take_over()
    assert node.files() == {*OF_TODAY, f"run/{ENGINE}"}
    assert (node.folder / "run" / ENGINE).read_text() == f"text of units/{ENGINE}"
    assert rank_unit("tiny") == ENGINE and node.former.units() == [ENGINE]
    # no verb but these: nothing stops the engine, and the supervisor gets no signal on which it would
    changing = {call for call in node.systemd.calls if not call.startswith("show")}
    reset, kill = f"reset-failed {SUPERVISOR}", f"kill --signal=SIGKILL {SUPERVISOR}"
    assert changing == {f"disable --quiet {SUPERVISOR}", "daemon-reload", kill, reset}


def test_the_unit_goes_once_the_engine_has_ended(node: Node) -> None:
    node.take_over()
    node.systemd.active.clear()
    assert node.former.forget(Changes(check_mode=False), ()) == [node.folder / "run" / ENGINE]
    assert node.files() == OF_TODAY
    assert rank_unit("tiny") == names.rank_unit("tiny") and node.former.units() == []


def test_of_an_engine_that_does_not_run_nothing_is_left(node: Node) -> None:
    node.systemd.active.discard(ENGINE)
    node.take_over()
    assert node.files() == OF_TODAY


def test_an_interrupted_take_over_is_done_again(node: Node) -> None:
    node.former.park()
    node.former.end_supervisor()
    assert node.former.there
    node.take_over()
    assert node.files() == {*OF_TODAY, f"run/{ENGINE}"}


def test_check_mode_removes_nothing(node: Node) -> None:
    before = node.files()
    changes = Changes(check_mode=True)
    node.former.forget(changes, ())
    assert node.files() == before and changes.changed


def test_units_of_others_are_left_alone(node: Node) -> None:
    """`fullrank-tiny-group.service` is also what a first version called the engine of a deployment `tiny-group`."""
    node.take_over()
    node.write(f"units/{SUPERVISOR}", "of somebody else")
    assert SUPERVISOR not in node.former.units()
    node.former.forget(Changes(check_mode=False), ())
    assert f"units/{SUPERVISOR}" in node.files()
