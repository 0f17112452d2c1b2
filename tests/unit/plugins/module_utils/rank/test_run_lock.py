# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run at a time on a replica."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.rank import run_lock

MINE = {"by": "me", "until": 200.0}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "fullrank/chat.run.json"


def test_the_second_run_is_refused_until_the_first_has_ended(path: Path) -> None:
    assert run_lock.change(path, 100, MINE, "a") == {}
    holder = run_lock.change(path, 150, MINE, "b")
    assert (holder["id"], holder["by"], holder["since"]) == ("a", "me", 100)
    assert run_lock.change(path, 150, None, "b") == {}, "another run's lock is not released, and that is no failure"
    assert run_lock.held(path, 150, "b")["id"] == "a"
    run_lock.change(path, 160, None, "a")
    assert run_lock.held(path, 160, "b") == {} and run_lock.change(path, 161, MINE, "b") == {}


def test_a_run_takes_its_own_lock_again_for_longer(path: Path) -> None:
    run_lock.change(path, 100, MINE, "a")
    assert run_lock.change(path, 150, {**MINE, "until": 500.0}, "a") == {}
    assert json.loads(path.read_text()) == {"id": "a", "by": "me", "since": 100, "until": 500.0}


def test_a_dead_run_and_one_whose_time_is_over_keep_nothing_away(path: Path) -> None:
    run_lock.change(path, 100, MINE, "a")
    assert run_lock.change(path, 150, MINE, "b", over="a") == {}
    assert run_lock.change(path, 201, MINE, "c") == {}


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"id": "a"}'])
def test_a_file_that_is_no_lock_is_none(path: Path, text: str) -> None:
    path.parent.mkdir()
    path.write_text(text)
    assert run_lock.held(path, 100, "b") == {} and run_lock.change(path, 100, MINE, "b") == {}


def test_where_there_is_no_file_nothing_is_held(path: Path) -> None:
    assert run_lock.held(path, 100, "b") == {} and not path.parent.exists()
