# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Routers of earlier versions. That they make room as a whole is seen with the module `router`."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.router import files, former


def test_folders_of_bodies_go_and_in_check_mode_stay(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(former, "CACHES", (str(tmp_path / "cache"), str(tmp_path / "private")))
    (tmp_path / "private/old").mkdir(parents=True)
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache/old").symlink_to(tmp_path / "private/old")
    former.forget_caches(SimpleNamespace(module=SimpleNamespace(check_mode=True)), "old")
    assert (tmp_path / "private/old").exists()
    former.forget_caches(SimpleNamespace(module=SimpleNamespace(check_mode=False)), "old")
    assert not (tmp_path / "private/old").exists() and not (tmp_path / "cache/old").is_symlink()


def test_the_program_of_the_watcher_goes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(files, "PROGRAM", str(tmp_path))
    (tmp_path / "fullrank_router").mkdir()
    routers = SimpleNamespace(module=SimpleNamespace(check_mode=False), changed=False)
    former.forget_program(routers)
    assert routers.changed and not (tmp_path / "fullrank_router").exists()
