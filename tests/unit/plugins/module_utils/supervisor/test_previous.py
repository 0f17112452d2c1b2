# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The previous launch: stored when one that was ready is replaced, with the one before it, and read again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.supervisor import previous
from ansible_collections.fullrank.serving.plugins.module_utils.systemd import names

CONFIG = Path("/etc/fullrank/tiny.supervisor.json")


def launch(spec: str) -> dict[Path, tuple[str, int]]:
    """The files of a launch whose hash is ``spec``."""
    unit = f"[Service]\nEnvironment=FULLRANK_SPEC_HASH={spec}\n"
    return {
        Path("/etc/systemd/system/fullrank-rank@tiny.service"): (unit, 0o644),
        CONFIG: (f'{{"spec": "{spec}"}}', 0o644),
    }


@pytest.mark.parametrize(
    ("ready", "old", "new", "stored"),
    [
        ("one\n", "one", "two", True),
        ("one\n", "one", "one", False),  # the same launch again
        ("zero\n", "one", "two", False),  # one that was never ready is no target
        ("", "", "two", False),
    ],
)
def test_only_a_launch_that_was_ready_and_ends_is_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, ready: str, old: str, new: str, stored: bool
) -> None:
    (tmp_path / "ready").write_text(ready)
    (tmp_path / "unit").write_text("text")
    monkeypatch.setattr(names, "ready_mark", lambda _name: str(tmp_path / "ready"))
    monkeypatch.setattr(names, "previous_launch", lambda _name: str(tmp_path / "previous"))
    text = previous.to_keep("tiny", [tmp_path / "unit", tmp_path / "absent"], old, new)
    assert bool(text) is stored
    assert not stored or [one["path"] for one in json.loads(text)["files"]] == [str(tmp_path / "unit")]


def test_a_launch_is_read_as_it_was_stored_with_defaults_for_new_options() -> None:
    files, config = previous.unpack(previous.pack("tiny", launch("one"), ""))
    assert files.keys() == launch("one").keys()
    assert (config["spec"], config["hang_timeout"]) == ("one", 120)
    assert json.loads(files[CONFIG][0]) == config


def test_one_launch_stands_behind_the_stored_one_and_no_more() -> None:
    first = previous.pack("tiny", launch("one"), "")
    second = previous.pack("tiny", launch("two"), first)
    third = previous.pack("tiny", launch("three"), second)
    assert json.loads(previous.before(third))["files"] == json.loads(second)["files"]
    assert previous.before(previous.before(third)) == ""
    assert previous.before(first) == ""
