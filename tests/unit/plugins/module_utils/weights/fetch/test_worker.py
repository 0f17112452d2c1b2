# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a fetch is asked, how it is started, what it says, and what must not be removed."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.weights import folder, usage
from ansible_collections.fullrank.serving.plugins.module_utils.weights.fetch import plan, sources, worker
from ansible_collections.fullrank.serving.plugins.module_utils.weights.fetch.plan import Entry
from ansible_collections.fullrank.serving.plugins.plugin_utils.report import fetch_progress

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


@pytest.mark.parametrize(
    ("include", "exclude", "wanted"),
    [
        ([], [], ["a.json", "b/c.bin", "model.safetensors"]),
        (["*.json", "b/*"], [], ["a.json", "b/c.bin"]),
        (["*"], ["*.bin"], ["a.json", "model.safetensors"]),
        (["A.json"], [], []),
    ],
)
def test_patterns(include: list[str], exclude: list[str], wanted: list[str]) -> None:
    paths = ["a.json", "b/c.bin", "model.safetensors"]
    assert [path for path in paths if plan.chosen(path, include, exclude)] == wanted


@pytest.mark.parametrize(
    ("revision", "pinned"), [("a" * 40, True), ("A" * 40, False), ("main", False), ("a" * 39, False), ("", False)]
)
def test_only_a_commit_is_pinned(revision: str, pinned: bool) -> None:
    assert plan.is_commit(revision) == pinned


def test_folders_of_one_name_have_units_of_their_own() -> None:
    assert plan.unit_name("/a/m") != plan.unit_name("/b/m")
    assert plan.unit_name("/a/m").startswith("fullrank-fetch-m-")


def test_parts_of_other_contents_are_never_continued() -> None:
    old, new = Entry("m", 5, "a" * 64, ""), Entry("m", 5, "b" * 64, "")
    assert plan.partial_name(REQUEST, [old]) != plan.partial_name(REQUEST, [new])
    assert plan.partial_name(REQUEST, [old, new]) == plan.partial_name(REQUEST, [new, old])


def test_how_far_a_fetch_is() -> None:
    told = {
        "phase": "fetching",
        "bytes": 12_300_000_000,
        "total": 688_600_000_000,
        "rate": 412e6,
        "files_done": 5,
        "files": 163,
    }
    assert fetch_progress.line(told) == "fetching 12.3 GB of 688.6 GB (1.8 %), 412 MB/s, 27 min left, 5 of 163 files"
    assert (
        fetch_progress.line(told | {"rate": 0.0})
        == "fetching 12.3 GB of 688.6 GB (1.8 %), nothing arrives, 5 of 163 files"
    )
    assert fetch_progress.line({"phase": "listing", "total": 0}) == "listing"
    assert fetch_progress.line({}) == "starting"


def test_a_full_disk_and_a_refusal_are_not_tried_again() -> None:
    with pytest.raises(sources.Refused, match="disk is full"):
        worker.give_up(OSError(errno.ENOSPC, "No space left on device"))
    worker.give_up(OSError(errno.ECONNRESET, "reset"))


def test_too_little_space_is_said_before_a_byte_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
    with pytest.raises(sources.Refused, match=r"lead out of the folder: \.\./outside"):
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


def test_the_fetch_gets_the_way_out_and_nothing_else_of_the_environment() -> None:
    given = {"https_proxy": "http://p", "NO_PROXY": "a", "SSL_CERT_FILE": "/c", "HOME": "/root", "HF_TOKEN": "x"}
    assert plan.environment(given) == {"https_proxy": "http://p", "NO_PROXY": "a", "SSL_CERT_FILE": "/c"}


def test_what_is_there_needs_no_space() -> None:
    assert plan.lacking_space("/m", 0, 0) == ""
    assert plan.lacking_space("/m", 10**9, 2 * 10**9) == ""
    assert "953.7 MiB free, and 1 GiB are still to come" in plan.lacking_space("/m", 2**30, 10**9)


def test_a_unit_uses_the_folder_that_it_names_and_what_is_inside() -> None:
    units = {
        "fullrank-rank@a.service": "ExecStart=/x serve /data/m --port 1",
        "fullrank-rank@b.service": "ExecStart=/x serve /data/m-2\n",
        "fullrank-rank@c.service": "ExecStart=/x --file /data/m/config.json",
    }
    assert usage.users("/data/m", units) == ["fullrank-rank@a.service", "fullrank-rank@c.service"]
    assert usage.users("/data/m-2/", units) == ["fullrank-rank@b.service"]
    assert usage.users("/data", units) == sorted(units)


def test_old_revisions_are_those_of_the_same_model_only() -> None:
    copies = {"/m/1": {"repo": "o/m"}, "/m/2": {"repo": "o/m"}, "/m/x": {"repo": "o/other"}}
    assert usage.old_revisions(copies, "o/m", ["/m/2/"]) == ["/m/1"]
