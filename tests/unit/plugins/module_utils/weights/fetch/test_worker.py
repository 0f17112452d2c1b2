# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program that fetches: what it refuses, what it tries again, and what it remembers."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.weights import folder
from ansible_collections.fullrank.serving.plugins.module_utils.weights.fetch import sources, worker
from ansible_collections.fullrank.serving.plugins.module_utils.weights.fetch.plan import Entry

REQUEST: dict[str, Any] = {
    "hub": "path",
    "repo": "",
    "revision": "",
    "include": [],
    "exclude": [],
    "endpoint": "",
    "workers": 2,
    "files": [],
}


def test_a_full_disk_and_a_refusal_are_not_tried_again() -> None:
    with pytest.raises(sources.Refused, match="disk is full"):
        worker.give_up(OSError(errno.ENOSPC, "No space left on device"))
    worker.give_up(OSError(errno.ECONNRESET, "reset"))


def test_too_little_space_is_reported_before_a_byte_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, model = tmp_path / "source", tmp_path / "model"
    source.mkdir()
    (source / "model.safetensors").write_bytes(b"x" * 1000)
    monkeypatch.setattr(worker.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 999}))
    request = REQUEST | {"path": str(model), "repo": str(source)}
    fetch = worker.Fetch(request, sources.Folder(request, ""), worker.Progress(tmp_path))
    with pytest.raises(sources.Refused, match="999 B free"):
        fetch.run()
    assert folder.sizes(model) == {}


class Hostile(sources.Source):
    def listing(self) -> tuple[str, list[Entry]]:
        return "", [Entry("../outside", 1, "", ""), Entry("a", 1, "", "")]


def test_a_source_that_leads_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    request = REQUEST | {"path": str(tmp_path / "model")}
    fetch = worker.Fetch(request, Hostile(request, ""), worker.Progress(tmp_path))
    with pytest.raises(sources.Refused, match=r"'\.\./outside': the path leads out of the folder"):
        fetch.run()


def test_a_journal_survives_a_line_that_was_cut_off(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "b").write_bytes(b"2")
    journal = worker.Journal(tmp_path)
    journal.note("a", "sum of a")
    with journal.file.open("a") as file:
        file.write('["b", 1, 17')
    again = worker.Journal(tmp_path)
    assert (again.sha256("a"), again.sha256("b")) == ("sum of a", "")
    (tmp_path / "a").write_bytes(b"22")
    assert again.sha256("a") == ""


def test_the_token_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("abc\n")
    assert [worker.take(tmp_path, "token") for _ in range(2)] == ["abc", ""]
