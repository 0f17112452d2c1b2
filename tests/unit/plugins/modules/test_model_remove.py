# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module `model_remove`: what goes, and what stays because it is used or is no copy."""

from __future__ import annotations

from pathlib import Path

import fp8_model
import pytest
from ansible_collections.fullrank.serving.plugins.modules import model_remove
from module_runner import call
from transient_standin import Systemd


@pytest.fixture(autouse=True)
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Systemd:
    (tmp_path / "units").mkdir()
    monkeypatch.setattr(model_remove.names, "UNITS", str(tmp_path / "units"))
    return Systemd(tmp_path / "systemd", monkeypatch)


@pytest.fixture
def models(tmp_path: Path) -> Path:
    for name in ("old", "new"):
        fp8_model.make(tmp_path / "models" / name)
    return tmp_path / "models"


def test_a_copy_goes_once(models: Path) -> None:
    path = models / "old"
    predicted = call(model_remove, path=str(path), check_mode=True)
    assert (predicted["changed"], predicted["removed"], path.exists()) == (True, [str(path)], True)
    assert predicted["freed_bytes"] > 0
    assert call(model_remove, path=str(path))["changed"] and not path.exists()
    assert not call(model_remove, path=str(path))["changed"]


def test_a_folder_without_a_manifest_is_refused(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    found = call(model_remove, path=str(tmp_path / "precious"))
    assert found["failed"] and "holds no .fullrank" in found["msg"]
    assert (tmp_path / "precious").exists()


def test_what_a_unit_names_stays(models: Path, tmp_path: Path) -> None:
    (tmp_path / "units/fullrank-rank@tiny.service").write_text(f"ExecStart=/x serve {models / 'old'}\n")
    found = call(model_remove, path=str(models / "old"))
    assert found["failed"] and "is in use by fullrank-rank@tiny.service" in found["msg"]
    assert (models / "old").exists()


def test_what_is_being_fetched_stays(models: Path, systemd: Systemd) -> None:
    systemd.runs()
    assert "fullrank-fetch-old" in call(model_remove, path=str(models / "old"))["msg"]


def test_old_revisions_go_and_those_to_keep_stay(models: Path) -> None:
    repo = fp8_model.SOURCE["repo"]
    found = call(model_remove, below=str(models), repo=repo, keep=[str(models / "new")])
    assert found["removed"] == [str(models / "old")]
    assert sorted(path.name for path in models.iterdir()) == ["new"]
    assert not call(model_remove, below=str(models), repo="o/other")["changed"]


@pytest.mark.parametrize("options", [{}, {"path": "/m", "below": "/m"}, {"below": "/m"}])
def test_options_that_name_nothing_are_refused(options: dict[str, str]) -> None:
    assert call(model_remove, **options)["failed"]
