# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A file replaced in one step, and in no other module."""

from __future__ import annotations

import ast
import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.common import files
from places import CHECKOUT


def test_a_file_is_replaced_with_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "new/folder/x.conf"
    files.write(path, "one", 0o600)
    files.write(path, b"two", 0o640)
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("two", 0o640)
    assert [one.name for one in path.parent.iterdir()] == ["x.conf"]


def test_what_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x"
    files.write(path, "old", 0o644)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        files.write(path, "new", 0o644)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
    files.write(path, "new", 0o644, lasting=False)
    assert path.read_text() == "new"


def test_what_is_lasting_is_on_the_disk_with_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    really = os.fsync

    def note(descriptor: int) -> Any:
        synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        return really(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    files.write(tmp_path / "x", "text", 0o644)
    assert len(synced) == 2 and synced[1] == str(tmp_path)
    (tmp_path / "work").write_text("whole")
    files.place(tmp_path / "work", tmp_path / "there/y")
    assert (tmp_path / "there/y").read_text() == "whole" and synced[3] == str(tmp_path / "there")


# whoever else renames a file, and why it is not a write
RENAMES = {
    "plugins/module_utils/common/files.py": "this is it",
    "plugins/module_utils/node/managed_files.py": "a foreign file is kept under another name",
    "plugins/module_utils/weights/convert/worker.py": "one file that runs in the interpreter that has torch",
    "plugins/module_utils/weights/fetch/git_lfs.py": "git-lfs wrote the file; it becomes a part",
    "plugins/module_utils/weights/transfer/target.py": "what is in place and wrong becomes a part again",
    "plugins/modules/docker_restart.py": "docker's file is put aside for a trial",
    "plugins/modules/self_signed_certificate.py": "openssl wrote the file",
}


def test_no_other_module_renames_files() -> None:
    found = set()
    for path in (CHECKOUT / "plugins").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            module = node.func.value.id if isinstance(node.func.value, ast.Name) else ""
            # str.replace has two arguments, Path.replace has one; dataclasses.replace has keywords
            one = node.func.attr in ("replace", "rename") and len(node.args) == 1 and not node.keywords
            if one or (module == "os" and node.func.attr in ("replace", "rename", "renames")):
                found.add(path.relative_to(CHECKOUT).as_posix())
    assert found == set(RENAMES)
