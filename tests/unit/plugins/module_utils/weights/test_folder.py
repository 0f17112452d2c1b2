# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A model's folder: its manifest, what is wrong with its files, and when it is ready."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.weights import folder as weights_folder
from ansible_collections.fullrank.serving.plugins.module_utils.weights import manifest as weights_manifest
from ansible_collections.fullrank.serving.plugins.module_utils.weights import shards
from hypothesis import given
from hypothesis import strategies as st

SOURCE = {"hub": "modelscope", "repo": "o/m", "revision": "1" * 40}
FILES = {
    "config.json": b"{}\n",
    "model-00001-of-00002.safetensors": b"a" * 5000,
    "model-00002-of-00002.safetensors": b"b" * 700,
}


def listed(files: dict[str, bytes]) -> list[dict[str, Any]]:
    return [{"path": k, "size": len(v), "sha256": hashlib.sha256(v).hexdigest()} for k, v in files.items()]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def ready(root: Path) -> dict[str, Any]:
    manifest = weights_manifest.build(SOURCE, listed(FILES))
    weights_folder.write_manifest(root, manifest)
    weights_folder.mark_ready(root)
    return manifest


def test_a_manifest_is_read_as_it_was_written() -> None:
    manifest = weights_manifest.build(SOURCE, reversed(listed(FILES)), {"to": "bfloat16"})
    content = weights_manifest.render(manifest)
    assert weights_manifest.parse(content) == manifest
    assert content.endswith(b"}\n")
    assert [one["path"] for one in manifest["files"]] == sorted(FILES)
    assert weights_manifest.total_bytes(manifest) == sum(map(len, FILES.values()))


@given(st.permutations(listed(FILES)))
def test_the_order_in_which_files_came_does_not_change_a_byte(files: list[dict[str, Any]]) -> None:
    assert weights_manifest.render(weights_manifest.build(SOURCE, files)) == weights_manifest.render(
        weights_manifest.build(SOURCE, listed(FILES))
    )


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../x", "a/../../x", "", "a//b", "./a", ".fullrank/READY", ".git/config", "a\0b"]
)
def test_a_path_that_leads_elsewhere_is_refused(path: str) -> None:
    manifest = weights_manifest.build(SOURCE, [{"path": path, "size": 1, "sha256": "0" * 64}])
    with pytest.raises(weights_manifest.ManifestError, match="no path inside the folder"):
        weights_manifest.parse(weights_manifest.render(manifest))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"version": 2}, "version 2 is not known"),
        ({"extra": 1}, "is expected"),
        ({"source": {"hub": "ftp"}}, "source.hub"),
        ({"files": [1]}, "list of objects"),
        ({"files": [{"path": "a", "size": -1, "sha256": "0" * 64}]}, "no number of bytes"),
        ({"files": [{"path": "a", "size": 1, "sha256": "x"}]}, "no sha256"),
        ({"files": listed({"b": b"", "a": b""})}, "not sorted"),
        ({"files": listed({"a": b""}) * 2}, "listed twice"),
    ],
)
def test_a_manifest_that_cannot_be_trusted_is_refused(change: dict[str, Any], why: str) -> None:
    content = json.dumps(weights_manifest.build(SOURCE, listed(FILES)) | change).encode()
    with pytest.raises(weights_manifest.ManifestError, match=why):
        weights_manifest.parse(content)


def test_half_a_manifest_is_refused() -> None:
    with pytest.raises(weights_manifest.ManifestError, match="no JSON"):
        weights_manifest.parse(weights_manifest.render(weights_manifest.build(SOURCE, listed(FILES)))[:100])


def test_a_copy_that_is_exact_has_no_problem(root: Path) -> None:
    assert weights_folder.verify(root, listed(FILES)) == []
    assert weights_folder.sizes(root) == {path: len(content) for path, content in FILES.items()}
    assert weights_folder.hash_files(root, FILES) == {one["path"]: one["sha256"] for one in listed(FILES)}


def test_every_kind_of_damage_is_named_with_its_file(root: Path) -> None:
    shards = sorted(FILES)[1:]
    (root / "config.json").unlink()
    (root / shards[0]).write_bytes(b"a" * 4999)
    (root / shards[1]).write_bytes(b"b" * 699 + b"c")  # the size is right
    problems = weights_folder.verify(root, listed(FILES), threads=2)
    assert [(one["path"], one["problem"]) for one in problems] == [
        ("config.json", "missing"),
        (shards[0], "size"),
        (shards[1], "sha256"),
    ]
    assert weights_manifest.describe(problems[0]) == "config.json: is not there"
    assert weights_manifest.describe(problems[1]) == f"{shards[0]}: 4999 bytes, should be 5000"
    assert "its content changed" in weights_manifest.describe(problems[2])
    assert [one["problem"] for one in weights_folder.verify(root, listed(FILES), quick=True)] == ["missing", "size"]


def test_what_is_ours_or_a_clients_is_not_weights(root: Path) -> None:
    for name in (".fullrank/partial/x", ".cache/huggingface/y", ".git/HEAD", "._____temp/z", ".msc"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x")
    assert set(weights_folder.sizes(root)) == set(FILES)


def test_links_of_a_hub_cache_count_as_what_they_lead_to(root: Path) -> None:
    blob = root.parent / "blobs/1234"
    blob.parent.mkdir()
    blob.write_bytes(b"hello")
    (root / "linked.bin").symlink_to("../blobs/1234")
    (root / "dangling.bin").symlink_to("../blobs/none")
    assert weights_folder.sizes(root)["linked.bin"] == 5
    assert "dangling.bin" not in weights_folder.sizes(root)
    assert weights_folder.verify(root, listed({"linked.bin": b"hello"})) == []


def test_ready_belongs_to_one_manifest(root: Path) -> None:
    assert not weights_folder.look(root).ready and "no manifest" in weights_folder.look(root).why_not
    manifest = weights_manifest.build(SOURCE, listed(FILES))
    digest = weights_folder.write_manifest(root, manifest)
    assert not weights_folder.look(root).ready and "never verified" in weights_folder.look(root).why_not
    weights_folder.mark_ready(root)
    assert weights_folder.look(root) == weights_folder.Copy(manifest, digest, True, "")
    assert (root / ".fullrank/READY").read_text() == hashlib.sha256(
        (root / ".fullrank/manifest.json").read_bytes()
    ).hexdigest() + "\n"


def test_another_manifest_takes_ready_away_and_the_same_does_not(root: Path) -> None:
    manifest = ready(root)
    weights_folder.write_manifest(root, manifest)
    assert weights_folder.look(root).ready
    weights_folder.write_manifest(root, manifest | {"conversion": {"to": "bfloat16"}})
    assert not (root / ".fullrank/READY").exists()


def test_a_manifest_changed_by_hand_is_not_ready(root: Path) -> None:
    ready(root)
    file = root / ".fullrank/manifest.json"
    file.write_bytes(file.read_bytes().replace(b"modelscope", b"huggingface"))
    assert "belongs to another manifest" in weights_folder.look(root).why_not
    file.write_bytes(b"{")
    assert weights_folder.look(root).manifest is None and "no JSON" in weights_folder.look(root).why_not


def test_nothing_is_left_beside_what_is_written(root: Path) -> None:
    ready(root)
    assert sorted(one.name for one in (root / ".fullrank").iterdir()) == ["READY", "manifest.json"]
    weights_folder.unready(root)
    weights_folder.unready(root)
    assert sorted(one.name for one in (root / ".fullrank").iterdir()) == ["manifest.json"]


def shard(values: int) -> bytes:
    header = json.dumps({"a": {"dtype": "U8", "shape": [values], "data_offsets": [0, values]}}).encode()
    return len(header).to_bytes(8, "little") + header + bytes(values)


def test_shards_without_a_manifest_are_judged_by_index_and_header(tmp_path: Path) -> None:
    for number in range(4):
        (tmp_path / f"{number}.safetensors").write_bytes(shard(10 * number))
    assert shards.not_whole(tmp_path) == []
    index = {"weight_map": {f"layer{number}": f"{number}.safetensors" for number in range(3)}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    for content in (shard(10)[:-1], shard(10) + b"?", shard(10)[:20], b"", b"\xff" * 100, b"\x02" + bytes(7) + b"[]"):
        (tmp_path / "1.safetensors").write_bytes(content)
        assert shards.not_whole(tmp_path) == ["1.safetensors"]
    (tmp_path / "2.safetensors").unlink()
    (tmp_path / "3.safetensors").write_bytes(b"")  # the index does not name it
    assert shards.not_whole(tmp_path) == ["1.safetensors", "2.safetensors"]
    for content in ("{", "[]", '{"weight_map": [1]}'):
        (tmp_path / "model.safetensors.index.json").write_text(content)
        assert shards.not_whole(tmp_path) == ["model.safetensors.index.json"]


def test_weights_of_another_kind_are_not_judged(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"?")
    assert shards.not_whole(tmp_path) == []
