# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hostile listings of any hub, manifests and index files: whatever they say, nothing outside of the model's folder is touched."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.weights import folder, manifest, shards
from ansible_collections.fullrank.serving.plugins.module_utils.weights.convert import conversion, fp8_checkpoint
from ansible_collections.fullrank.serving.plugins.module_utils.weights.fetch import plan, sources, worker
from ansible_collections.fullrank.serving.plugins.module_utils.weights.fetch.plan import Entry
from ansible_collections.fullrank.serving.plugins.module_utils.weights.transfer import peer, slices
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

REQUEST: dict[str, Any] = {"repo": "o/m", "revision": "1" * 40, "endpoint": "", "include": [], "exclude": []}
REQUEST |= {"workers": 2, "files": []}

parts = st.sampled_from(
    ["", ".", "..", "a", "b", ".git", ".fullrank", "partial", "outside", "etc", "out", "\0", "\n", "*"]
)
anything = st.text(max_size=6)
paths = st.builds(
    lambda begin, words, end: begin + "/".join(words) + end,
    *(st.sampled_from(["", "", "/", "../", "../../", "{root}/"]), st.lists(parts | anything, max_size=5)),
    st.sampled_from(["", "", "/", ".safetensors"]),
)
sums = paths | st.sampled_from(["", "0" * 64, "A" * 64, "../" * 20 + "etc/passwd", "{root}/outside/secret"])
entries = st.builds(Entry, paths, st.integers(-5, 5), sums, sums)


@contextmanager
def surroundings() -> Iterator[Path]:
    """A folder with something beside the model's, which must be as it was afterwards."""
    root = Path(tempfile.mkdtemp(prefix="fullrank-listing-"))
    (root / "outside").mkdir()
    (root / "outside/secret").write_text("root's")
    (root / "model").mkdir()
    (root / "model/out").symlink_to(root / "outside")
    before = state(root)
    try:
        yield root
        assert state(root) == before
    finally:
        shutil.rmtree(root)


def state(root: Path) -> dict[str, str]:
    """Everything but the model's folder and the run's own."""
    found = {}
    for place, folders, files in os.walk(root):
        if Path(place) == root:
            folders[:] = [name for name in folders if name not in ("model", "run")]
        found |= {str(Path(place) / name): (Path(place) / name).read_text() for name in files}
        found |= {str(Path(place) / name): "folder" for name in folders}
    return found


def there(root: Path, entry: Entry) -> Entry:
    return entry._replace(
        **{name: getattr(entry, name).replace("{root}", str(root)) for name in ("path", "sha256", "git_id")}
    )


class Listed(sources.Source):
    """Lists what the test wants, and writes as a client does that believes each listed path."""

    listed: Sequence[Entry] = ()

    def listing(self) -> tuple[str, list[Entry]]:
        return "1" * 40, list(self.listed)

    def fetch(self, entries: Sequence[Entry], folder: Path, finished: sources.Finished) -> None:
        for one in entries:
            part = folder / one.path
            part.parent.mkdir(parents=True, exist_ok=True)
            part.write_bytes(b"x" * one.size)
            finished(one, part)


@given(st.lists(entries, min_size=1, max_size=4))
@example([Entry("out/secret", 1, "", "")])
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_listing_touches_what_is_outside(listed: list[Entry]) -> None:
    with surroundings() as root:
        (root / "run").mkdir()
        request = REQUEST | {"path": str(root / "model"), "hub": "huggingface"}
        source = Listed(request, "")
        source.listed = [there(root, one) for one in listed]
        with suppress(sources.Refused, OSError):
            worker.Fetch(request, source, worker.Progress(root / "run")).run()


@given(st.lists(entries, min_size=1, max_size=4))
def test_what_is_not_refused_stays_inside_and_has_real_sums(listed: list[Entry]) -> None:
    if plan.refused(listed):
        return
    for one in plan.usable(listed):
        assert Path(os.path.normpath(Path("/m") / one.path)).is_relative_to("/m")
        assert one.sha256 == "" or (len(one.sha256) == 64 and set(one.sha256) <= set("0123456789abcdef"))
        assert one.size >= 0


@given(st.lists(entries, min_size=1, max_size=4), st.booleans())
@example([Entry("out/secret", 1, "", "")], True)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_manifest_of_another_node_touches_what_is_outside(listed: list[Entry], right: bool) -> None:
    """A node of a transfer gets a manifest, and afterwards each byte of what it lists."""
    with surroundings() as root:
        # of nothing, so that no slice has to arrive first
        empty = hashlib.sha256(b"").hexdigest()
        files = [
            {"path": one.path, "size": min(one.size, 0), "sha256": empty if right else one.sha256}
            for one in sorted({one.path: one for one in (there(root, two) for two in listed)}.values())
        ]
        made = {"version": 1, "source": {"hub": "path", "repo": "", "revision": ""}, "conversion": None, "files": files}
        with suppress(manifest.ManifestError, slices.Stop, OSError):
            taken = manifest.parse(manifest.render(made))
            model = root / "model"
            shelf = slices.Shelf([slices.File(i, one, model, 1 << 20) for i, one in enumerate(taken["files"])])
            receiver = peer.Folder(model, taken, shelf, slices.Progress(), "other")
            receiver.check()
            receiver.place_files()
            receiver.finish()


@given(st.dictionaries(anything, paths | st.integers() | st.none(), max_size=4))
@settings(max_examples=50, deadline=None)
def test_no_index_leads_out_of_the_folder(weight_map: dict[str, Any]) -> None:
    with surroundings() as root:
        whole = root / "outside/whole.safetensors"
        whole.write_bytes((2).to_bytes(8, "little") + b"{}")
        index = {
            name: one.replace("{root}", str(root)) if isinstance(one, str) else one for name, one in weight_map.items()
        }
        index["x"] = "../outside/whole.safetensors"
        (root / "model" / shards.INDEX).write_text(json.dumps({"weight_map": index}))
        assert "../outside/whole.safetensors" in shards.not_whole(root / "model")
        whole.unlink()


def test_a_conversion_stays_inside(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "model").mkdir()
    (tmp_path / "model/sub").symlink_to(tmp_path / "outside")
    with pytest.raises(fp8_checkpoint.CannotConvert, match="links lead out"):
        conversion.stay_inside(tmp_path / "model", ["sub/a.safetensors"])
    (tmp_path / "model/sub").unlink()
    (tmp_path / "model/.fullrank").symlink_to(tmp_path / "outside")
    with pytest.raises(fp8_checkpoint.CannotConvert, match="links lead out"):
        conversion.stay_inside(tmp_path / "model", ["a.safetensors"])


def test_root_does_not_write_where_a_worker_put_a_link(tmp_path: Path) -> None:
    """Manifest and READY are also written by modules, as root, into a folder that belongs to the worker."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "model").mkdir()
    (tmp_path / "model/.fullrank").symlink_to(tmp_path / "outside")
    made = manifest.build({"hub": "path", "repo": "", "revision": ""}, [])
    with pytest.raises(OSError, match="leads out"):
        folder.write_manifest(tmp_path / "model", made)
    assert list((tmp_path / "outside").iterdir()) == []
