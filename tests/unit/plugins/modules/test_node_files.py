# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Configuration files of a node: written with a header, checked before they replace anything, foreign ones kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.systemd.unit_text import HEADER
from ansible_collections.fullrank.serving.plugins.modules import node_files
from module_runner import call


def run(*files: dict[str, Any], **args: Any) -> dict[str, Any]:
    return call(node_files, files=list(files), **args)


def test_a_managed_file_is_written_replaced_and_removed(tmp_path: Path) -> None:
    path = tmp_path / "d/x.conf"
    one = {"path": str(path), "content": "a\n"}
    first = run(one)
    assert first["changed"] and first["changed_paths"] == [str(path)]
    assert path.read_text() == f"# {HEADER}\na\n"
    assert not run(one)["changed"], "a second run changes nothing"
    assert run({**one, "content": "b\n", "mode": "0600", "comment": ";"})["changed"]
    assert path.read_text() == f"; {HEADER}\nb\n" and path.stat().st_mode & 0o777 == 0o600
    assert run({"path": str(path), "state": "absent"})["changed"]
    assert list(path.parent.iterdir()) == [], "no copy of a managed file stays"
    assert not run({"path": str(path), "state": "absent"})["changed"]


def test_a_foreign_file_is_kept_as_save(tmp_path: Path) -> None:
    path, saved = tmp_path / "cuda.list", tmp_path / "cuda.list.save"
    path.write_text("deb http://x /\n")
    assert run({"path": str(path), "state": "absent"})["changed"]
    assert saved.read_text() == "deb http://x /\n" and not path.exists()
    path.write_text("mine\n")
    run({"path": str(path), "content": "a\n"})
    assert saved.read_text() == "mine\n" and HEADER in path.read_text()


def test_a_format_without_comments_has_no_header_and_no_copy(tmp_path: Path) -> None:
    path = tmp_path / "keyring"
    path.write_text("old")
    run({"path": str(path), "content": "key", "ours": True})
    assert path.read_text() == "key" and [one.name for one in tmp_path.iterdir()] == ["keyring"]


def test_check_mode_shows_and_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "there").write_text("theirs\n")
    result = run(
        {"path": str(tmp_path / "new"), "content": "a\n"},
        {"path": str(tmp_path / "there"), "state": "absent"},
        check_mode=True,
    )
    assert result["changed"] and result["changed_paths"] == [str(tmp_path / "new"), str(tmp_path / "there")]
    new, gone = result["diff"]
    assert (new["before"], new["after"]) == ("", f"# {HEADER}\na\n")
    assert gone["before"] == "theirs\n" and gone["after_header"].endswith("(removed)")
    assert [one.name for one in tmp_path.iterdir()] == ["there"]


@pytest.mark.parametrize("check_mode", [False, True])
def test_the_files_are_validated_together_before_any_is_replaced(tmp_path: Path, check_mode: bool) -> None:
    files = [{"path": str(tmp_path / name), "content": f"{name}\n"} for name in ("a.conf", "b.conf")]
    refused = run(*files, validate=["/bin/sh", "-c", "cat a.conf b.conf; exit 1"], check_mode=check_mode)
    assert refused["failed"] and "nothing was changed" in refused["msg"] and refused["msg"].endswith("b.conf")
    assert list(tmp_path.iterdir()) == []
    assert run(*files, validate=["/bin/grep", "-q", "b", "b.conf"], check_mode=check_mode)["changed"]


def test_a_validator_that_is_not_installed_yet_is_skipped_in_check_mode(tmp_path: Path) -> None:
    one = {"path": str(tmp_path / "a"), "content": ""}
    assert run(one, validate=["/usr/bin/not-there"], check_mode=True)["changed"]
    assert run(one, validate=["/usr/bin/not-there"])["failed"]


def test_a_file_without_content_is_refused() -> None:
    assert "content" in run({"path": "/etc/x"})["msg"]


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"path": "etc/x", "content": ""}, "path: 'etc/x' is no absolute path"),
        ({"path": "/etc/x/", "content": ""}, "is no absolute path of a file"),
        ({"path": "etc/x", "state": "absent"}, "is no absolute path"),
        (
            {"path": "/nowhere/x", "content": "", "mode": "999"},
            "mode of /nowhere/x: '999' is not three or four octal digits",
        ),
        ({"path": "/nowhere/x", "content": "", "mode": "u=rw"}, "octal"),
    ],
)
def test_a_path_or_mode_that_no_file_can_have_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: dict[str, Any], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run({"path": str(tmp_path / "first"), "content": "a"}, entry)
    assert result["failed"] and words in result["msg"] and "Nothing was changed" in result["msg"]
    assert list(tmp_path.iterdir()) == []


def test_a_command_that_refuses_files_without_a_word_is_reported_with_its_exit_status(tmp_path: Path) -> None:
    result = run({"path": str(tmp_path / "x"), "content": "a"}, validate=["/bin/false"])
    assert result["failed"] and result["msg"].endswith("it ended with 1 and printed nothing")
