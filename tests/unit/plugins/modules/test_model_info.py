# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module `model_info`: the state of a folder, with nothing changed."""

from __future__ import annotations

import socket
from pathlib import Path

import fp8_model
import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.weights import folder, manifest
from ansible_collections.fullrank.serving.plugins.modules import model_info
from module_runner import call


@pytest.fixture
def model(tmp_path: Path) -> Path:
    fp8_model.make(tmp_path / "m")
    return tmp_path / "m"


def test_a_verified_copy(model: Path) -> None:
    found = call(model_info, path=str(model))
    copy = folder.look(model)
    assert (found["ready"], found["why_not"], found["manifest_sha256"]) == (True, "", copy.digest)
    assert (found["changed"], found["source"], found["conversion"]) == (False, fp8_model.SOURCE, {})
    assert [one["path"] for one in found["files"]] == sorted(path.name for path in model.glob("*.safetensors"))
    assert found["config"]["model_type"] == "stand-in"
    assert "manifest" not in found


def test_no_folder_is_no_error(tmp_path: Path) -> None:
    found = call(model_info, path=str(tmp_path / "none"))
    assert (found["ready"], found["config"], found["files"], found["manifest_sha256"]) == (False, {}, [], "")
    assert "no manifest" in found["why_not"]


@pytest.mark.parametrize("text", ["{", "[]"])
def test_a_config_that_is_no_object_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    assert call(model_info, path=str(tmp_path))["config"] == {}


def test_a_file_that_was_cut_off_makes_it_not_ready_and_ready_stays_on_disk(model: Path) -> None:
    shard = next(model.glob("*.safetensors"))
    shard.write_bytes(shard.read_bytes()[:-1])
    found = call(model_info, path=str(model), listing=True)
    assert not found["ready"] and shard.name in found["why_not"]
    assert found["manifest"] is None
    assert (model / manifest.READY).exists()


def test_the_listing_is_what_a_transfer_needs(model: Path) -> None:
    part = model / manifest.PARTIAL / "a"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"x" * 8192)
    found = call(model_info, path=str(model), listing=True, address="127.0.0.1", interface="none-such")
    assert found["sizes"] == folder.sizes(model)
    assert found["manifest"] == folder.look(model).manifest
    assert found["partial_bytes"] >= 8192 and found["free_bytes"] > 0
    assert (found["address"], found["link_gbps"]) == ("127.0.0.1", 0)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", found["port"]))


@pytest.mark.parametrize(("address", "port", "expected"), [("", 0, 0), ("", 7790, 7790), ("127.0.0.1", 7790, 7790)])
def test_a_port_that_is_given_stays(tmp_path: Path, address: str, port: int, expected: int) -> None:
    assert call(model_info, path=str(tmp_path), listing=True, address=address, port=port)["port"] == expected


def test_an_address_of_another_machine_is_refused(tmp_path: Path) -> None:
    found = call(model_info, path=str(tmp_path), listing=True, address="192.0.2.1")
    assert found["failed"]
    assert found["msg"] == "address 192.0.2.1: no interface of this node has it"


@pytest.mark.parametrize(
    ("modules", "pooling"),
    [
        (
            '[{"type": "sentence_transformers.models.Transformer"}, {"type": "sentence_transformers.models.Pooling"}]',
            True,
        ),
        ('[{"type": "sentence_transformers.models.Transformer"}]', False),
        ('{"type": "Pooling"}', False),
        ("no JSON", False),
        (None, False),
    ],
)
def test_a_model_of_sentence_transformers_pools(tmp_path: Path, modules: str | None, pooling: bool) -> None:
    if modules is not None:
        (tmp_path / "modules.json").write_text(modules)
    assert model_info.pools(tmp_path) is pooling
