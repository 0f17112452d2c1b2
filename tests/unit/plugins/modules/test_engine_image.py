# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module `engine_image`, with a program that stands in for docker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from places import CHECKOUT

MODULE = CHECKOUT / "plugins/modules/engine_image.py"
ID = "sha256:" + "ab" * 32
# keeps what it was called with in a file; knows an image once it was pulled or loaded
STANDIN = """\
#!/bin/sh
echo "$@" >> {folder}/calls
case "$1 $2" in
"image inspect") [ -e {folder}/there ] && echo '[{{"Id": "{id}", "RepoDigests": ["r/e@sha256:1"]}}]' && exit 0
  echo "Error response from daemon: No such image: $3" >&2; exit 1;;
"pull r/e:1"|"load --input") touch {folder}/there;;
*) echo "first line" >&2; echo "Error response from daemon: manifest for $2 not found" >&2; exit 1;;
esac
"""


def run(folder: Path, **arguments: Any) -> tuple[dict[str, Any], list[str]]:
    """The module's answer, and the calls of docker that change something."""
    docker = folder / "docker"
    docker.write_text(STANDIN.format(folder=folder, id=ID))
    docker.chmod(0o755)
    params = {"ANSIBLE_MODULE_ARGS": {"_ansible_remote_tmp": str(folder), **arguments}}
    env = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}
    words = [sys.executable, str(MODULE)]
    done = subprocess.run(words, input=json.dumps(params), env=env, capture_output=True, text=True, check=False)
    calls = (folder / "calls").read_text().splitlines()
    return json.loads(done.stdout), [line for line in calls if not line.startswith("image inspect")]


def test_an_image_is_pulled_once(tmp_path: Path) -> None:
    first, _ = run(tmp_path, image="r/e:1")
    second, calls = run(tmp_path, image="r/e:1")
    assert (first["changed"], second["changed"]) == (True, False)
    assert calls == ["pull r/e:1"]
    assert second["image_id"] == ID
    assert second["digests"] == ["r/e@sha256:1"]


def test_check_mode_pulls_nothing_and_reports_that_it_would(tmp_path: Path) -> None:
    answer, calls = run(tmp_path, image="r/e:1", _ansible_check_mode=True)
    assert answer["changed"] is True
    assert "image_id" not in answer
    assert calls == []


def test_an_archive_is_loaded_instead(tmp_path: Path) -> None:
    archive = tmp_path / "engine.tar"
    archive.touch()
    answer, calls = run(tmp_path, image="r/e:1", archive=str(archive))
    assert answer["image_id"] == ID
    assert calls == [f"load --input {archive}"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"image": "r/e:2"}, ["r/e:2: docker pull r/e:2 failed", "manifest for r/e:2 not found"]),
        ({"image": "r/e:1", "archive": "/no/such.tar"}, ["there is no /no/such.tar on this node"]),
        ({"image": "r/e:1", "runtime": "nerdctl"}, ["nerdctl is not installed on this node"]),
    ],
)
def test_what_is_wrong_is_reported(tmp_path: Path, arguments: dict[str, str], words: list[str]) -> None:
    (tmp_path / "calls").touch()
    answer, _ = run(tmp_path, **arguments)
    assert answer["failed"] is True
    assert all(word in answer["msg"] for word in words)
