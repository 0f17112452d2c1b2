# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is in a folder, exactly: a copy that lacks anything that layers of images consist of is recognized."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.common import files, trees


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "source"
    (root / "layer/lost+found").mkdir(parents=True)
    (root / "lost+found").mkdir()
    (root / "layer/file").write_text("content")
    os.link(root / "layer/file", root / "layer/again")
    (root / "layer/link").symlink_to("file")
    os.mkfifo(root / "layer/pipe")
    return root


def copy(source: Path) -> Path:
    target = source.with_name("copy")
    shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns("pipe"))
    os.mkfifo(target / "layer/pipe")
    return target


def test_a_whole_copy_is_like_its_source(tree: Path) -> None:
    assert trees.listing(copy(tree)) == trees.listing(tree)
    assert sorted(trees.listing(tree)) == [
        "layer",
        "layer/again",
        "layer/file",
        "layer/link",
        "layer/lost+found",
        "layer/pipe",
        "lost+found",
    ]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda root: (root / "layer/file").unlink(),
        lambda root: (root / "layer/file").write_text("longer content"),
        lambda root: (root / "layer/file").chmod(0o4755),
        lambda root: os.utime(root / "layer/file", (0, 0)),
        lambda root: (root / "layer/new").write_text(""),
        lambda root: ((root / "layer/link").unlink(), (root / "layer/link").symlink_to("other")),
    ],
    ids=["missing", "size", "permissions", "time", "too much", "link"],
)
def test_each_difference_is_seen(spoil: Callable[[Path], object], tree: Path) -> None:
    other = copy(tree)
    spoil(other)
    assert trees.listing(other) != trees.listing(tree)


def test_sockets_are_made_again_by_their_owners(tree: Path) -> None:
    before = trees.listing(tree)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tree / "s"))
        assert trees.listing(tree) == before


def test_what_is_linked_twice_counts_once(tree: Path) -> None:
    size, inodes = trees.used(tree)
    assert inodes == len(trees.listing(tree)) - 1
    (tree / "layer/large").write_bytes(b"x" * 100000)
    assert trees.used(tree)[0] - size >= 100000


def test_an_emptied_folder_stays(tree: Path) -> None:
    assert trees.entries(tree) == ("layer",), "what mkfs makes is no data"
    trees.empty(tree)
    assert trees.entries(tree) == () and (tree / "lost+found").is_dir()
    trees.empty(tree / "nowhere")
    assert trees.entries(tree / "nowhere") == ()


def test_a_file_is_replaced_with_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "folder/file"
    for content, mode in (("text", 0o600), (b"bytes", 0o644)):
        files.write(path, content, mode)
        assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"text" if mode == 0o600 else b"bytes", mode)
    assert [one.name for one in path.parent.iterdir()] == ["file"]
