# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module `run_lock`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.systemd import names
from ansible_collections.fullrank.serving.plugins.modules import run_lock
from module_runner import call


@pytest.fixture(autouse=True)
def place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(names, "run_lock", lambda deployment: str(tmp_path / f"{deployment}.run.json"))
    return tmp_path / "chat.run.json"


def take(run: str, **more: Any) -> dict[str, Any]:
    return call(run_lock, deployment="chat", run=run, by=f"user of {run}", **more)


def test_one_run_has_it_and_it_is_no_change(place: Path) -> None:
    first, second = take("a"), take("b")
    assert (first["changed"], first["holder"], second["holder"]["by"]) == (False, {}, "user of a")
    assert take("b", state="released")["holder"] == {}
    assert take("a", state="released")["holder"] == take("b")["holder"] == {}


def test_check_mode_reports_and_takes_nothing(place: Path) -> None:
    assert take("a", check_mode=True)["holder"] == {} and not place.exists()
    take("a")
    assert take("b", check_mode=True)["holder"]["id"] == "a"
    take("a", state="released", check_mode=True)
    assert take("b")["holder"]["id"] == "a"


def test_a_time_that_is_over_ends_it(place: Path) -> None:
    take("a", seconds=-1)
    assert take("b")["holder"] == {}
