# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A release can be made at any time: one version everywhere, and notes out of the fragments (docs/decisions/091)."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

CHECKOUT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
FRAGMENTS = CHECKOUT / "changelogs/fragments"


def version() -> str:
    return str(yaml.safe_load((CHECKOUT / "galaxy.yml").read_text())["version"])


def test_the_version_is_a_semantic_one_and_the_same_everywhere() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", version())
    assert tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["version"] == version()
    tarball = f"fullrank-serving-{version()}.tar.gz"
    environment = yaml.safe_load((CHECKOUT / "execution-environment/execution-environment.yml").read_text())
    assert environment["dependencies"]["galaxy"]["collections"] == [{"name": f"configs/{tarball}", "type": "file"}]
    assert environment["additional_build_files"] == [{"src": tarball, "dest": "configs"}]


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> str:
    """CHANGELOG.md as a release of this checkout would have it."""
    copy = tmp_path_factory.mktemp("release")
    for name in ("galaxy.yml", "README.md", "CHANGELOG.md"):
        shutil.copy(CHECKOUT / name, copy)
    for name in ("changelogs", "plugins", "roles", "playbooks", "meta"):
        shutil.copytree(CHECKOUT / name, copy / name)
    done = subprocess.run(
        [BIN / "antsibull-changelog", "release", "--date", "2026-01-01"],
        cwd=copy,
        env={"PATH": f"{BIN}:/usr/bin:/bin", "HOME": str(copy)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return (copy / "CHANGELOG.md").read_text()


def plain(text: str) -> str:
    """Without markup and line breaks."""
    return " ".join(re.sub(r"[`\\]|<[^>]*>", "", text).split())


def test_the_notes_of_a_release_hold_every_fragment(notes: str) -> None:
    text = plain(notes)
    assert f"## v{version()}" in text
    assert not re.search(r"\b(C|V|O|E|RV|M)\(", text), "the markup of ansible-doc is none here: two backticks are"
    for path in FRAGMENTS.glob("*.yml"):
        for entries in yaml.safe_load(path.read_text()).values():
            for entry in [entries] if isinstance(entries, str) else entries:
                assert plain(entry) in text, f"{path.name}: {entry}"
