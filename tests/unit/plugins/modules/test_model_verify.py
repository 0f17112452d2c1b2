# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module `model_verify`: which copies are ready, and when READY comes and goes."""

from __future__ import annotations

from pathlib import Path

import fp8_model
import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.weights import folder, manifest
from ansible_collections.fullrank.serving.plugins.modules import model_verify
from module_runner import call


@pytest.fixture
def model(tmp_path: Path) -> Path:
    fp8_model.make(tmp_path / "m")
    return tmp_path / "m"


def flip(model: Path) -> str:
    """One bit of a shard; its name."""
    shard = next(model.glob("*.safetensors"))
    raw = bytearray(shard.read_bytes())
    raw[-1] ^= 1
    shard.write_bytes(raw)
    return shard.name


def ready(model: Path) -> bool:
    return (model / manifest.READY).exists()


@pytest.mark.parametrize("depth", ["sizes", "contents"])
def test_a_right_copy_changes_nothing(model: Path, depth: str) -> None:
    found = call(model_verify, path=str(model), depth=depth)
    assert (found["changed"], found["ready"], found["problems"]) == (False, True, [])
    assert found["bytes"] == sum(folder.sizes(model).values())


def test_only_contents_find_a_flipped_bit_and_take_ready_away(model: Path) -> None:
    name = flip(model)
    assert call(model_verify, path=str(model), depth="sizes")["ready"]
    found = call(model_verify, path=str(model), depth="contents")
    assert found["failed"] and f"{name}: its content changed" in found["msg"]
    assert (found["changed"], [one["problem"] for one in found["problems"]]) == (True, ["sha256"])
    assert not ready(model)
    assert not call(model_verify, path=str(model), depth="contents", required=False)["changed"]


def test_check_mode_reports_and_leaves_ready(model: Path) -> None:
    flip(model)
    found = call(model_verify, path=str(model), required=False, check_mode=True)
    assert (found["changed"], found["ready"]) == (True, False)
    assert ready(model)


def test_right_contents_give_ready_back(model: Path) -> None:
    folder.unready(model)
    assert call(model_verify, path=str(model), depth="sizes")["failed"]
    assert call(model_verify, path=str(model), check_mode=True)["changed"] and not ready(model)
    found = call(model_verify, path=str(model))
    assert (found["changed"], found["ready"], ready(model)) == (True, True, True)


def test_another_manifest_than_the_wanted_one_is_refused(model: Path) -> None:
    found = call(model_verify, path=str(model), depth="sizes", manifest_sha256="0" * 64)
    assert found["failed"] and "it holds other weights" in found["msg"]


def test_no_copy(tmp_path: Path) -> None:
    assert "no manifest" in call(model_verify, path=str(tmp_path))["msg"]
    assert call(model_verify, path=str(tmp_path), depth="everything")["failed"]
