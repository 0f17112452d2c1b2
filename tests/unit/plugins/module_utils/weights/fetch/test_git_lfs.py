# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Git's own files, bounded and not through memory. tests/security has git-lfs with a server."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.weights.fetch import git_lfs, worker
from ansible_collections.fullrank.serving.plugins.module_utils.weights.fetch.source import Refused

REQUEST: dict[str, Any] = {"repo": "o/m", "revision": "1" * 40, "endpoint": "", "workers": 1}


@pytest.mark.parametrize("names", ["sha1", "sha256"])
def test_a_blob_of_git_goes_to_its_file_and_not_through_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: str
) -> None:
    made = tmp_path / "made"
    made.mkdir()

    def git(*words: str) -> str:
        command = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", "-C", str(made), *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "--quiet", f"--object-format={names}")
    (made / "a.bin").write_bytes(b"\0" * (1 << 20))
    git("add", ".")
    git("commit", "--quiet", "-m", "x")
    monkeypatch.setenv("HOME", str(tmp_path))
    request = {**REQUEST, "repo": str(made), "revision": git("rev-parse", "HEAD"), "path": str(tmp_path / "m")}
    source = git_lfs.GitLfs(request, "")
    _commit, (entry,) = source.listing()
    returned: list[bytes] = []
    run = source._git

    def watched(*words: str, **options: Any) -> bytes:
        returned.append(run(*words, **options))
        return returned[-1]

    monkeypatch.setattr(source, "_git", watched)
    source.fetch([entry], tmp_path / "parts", lambda *_unused: None)
    assert (tmp_path / "parts/a.bin").read_bytes() == b"\0" * (1 << 20)
    assert sum(map(len, returned)) == 0
    assert len(entry.git_id) == {"sha1": 40, "sha256": 64}[names]
    assert worker.git_id(tmp_path / "parts/a.bin", len(entry.git_id)) == entry.git_id


def test_what_git_writes_is_bounded_and_the_reason_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server can send a repository without an end. The limit is far below the file."""
    monkeypatch.setattr(git_lfs, "SMALLEST_LIMIT", 1000)
    source = git_lfs.GitLfs({**REQUEST, "path": str(tmp_path)}, "")
    source._git("init", "--quiet", "--bare", ".", folder=tmp_path)
    source._git("hash-object", "-w", "--stdin", folder=tmp_path, sent=b"little", most=2000)
    with pytest.raises(Refused, match="more than the 2000 bytes"):
        source._git(
            "-c", "core.compression=0", "hash-object", "-w", "--stdin", folder=tmp_path, sent=b"x" * 99999, most=2000
        )
