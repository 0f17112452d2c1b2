# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a source brings to a folder: no more than it lists, and not through memory. tests/hubs has the hubs' own clients."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.weights.fetch import sources
from ansible_collections.fullrank.serving.plugins.module_utils.weights.fetch.plan import Entry

REQUEST: dict[str, Any] = {"repo": "o/m", "revision": "1" * 40, "endpoint": "", "workers": 1}


def hub_that_sends(pieces: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """A client whose server sends these pieces, whatever is wanted."""

    def http_get(_url: str, file: Any, **_options: Any) -> None:
        for piece in pieces:
            file.write(piece)

    parts = {
        "huggingface_hub": {
            "constants": types.SimpleNamespace(),
            "hf_hub_url": lambda *_unused, **_options: "https://hub/x",
        },
        "huggingface_hub.file_download": {"http_get": http_get},
        "huggingface_hub.utils": {"build_hf_headers": lambda **_options: {}},
    }
    for name, content in parts.items():
        module = types.ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)


def test_a_server_that_sends_without_an_end_fills_no_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub_that_sends([b"x" * 1000] * 50, monkeypatch)
    source = sources.HuggingFace(REQUEST, "")
    with pytest.raises(sources.Refused, match="sends more than the 20000 bytes that it lists"):
        source.fetch([Entry("a.safetensors", 20000, "", "")], tmp_path, lambda *_unused: None)
    assert (tmp_path / "a.safetensors").stat().st_size == 20000


def test_what_a_server_sends_in_the_listed_size_arrives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub_that_sends([b"x" * 1000] * 20, monkeypatch)
    done: list[str] = []
    source = sources.HuggingFace(REQUEST, "")
    source.fetch([Entry("a.safetensors", 20000, "", "")], tmp_path, lambda entry, _part: done.append(entry.path))
    assert done == ["a.safetensors"]


def test_a_file_that_grows_while_it_is_copied_is_refused(tmp_path: Path) -> None:
    (tmp_path / "from").mkdir()
    (tmp_path / "from/a").write_bytes(b"x" * 100)
    source = sources.Folder({**REQUEST, "repo": str(tmp_path / "from")}, "")
    with pytest.raises(sources.Refused, match="more than the 10 bytes"):
        source.fetch([Entry("a", 10, "", "")], tmp_path / "to", lambda *_unused: None)
