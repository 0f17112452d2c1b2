# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that roles install by pip has its hash, for each version of Python."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tools import locks

ROLES = locks.CHECKOUT / "roles"
SMG = ROLES / "router/files/smg.txt"
WEBUI = sorted(ROLES.glob("webui/files/open-webui-*.txt"))
LISTS = sorted(path for path in ROLES.glob("*/files/*.txt"))
LIMIT_S = 600


def text(path: Path) -> str:
    version = yaml.safe_load((ROLES / "router/defaults/main.yml").read_text()).get("router_smg_version", "")
    return path.read_text().replace("SMG_VERSION", str(version))


def requirements(path: Path) -> list[str]:
    """Each with its hashes, on one line."""
    joined = re.sub(r"\\\n\s*", "", text(path))
    return [line for line in joined.splitlines() if line and not line.startswith("#")]


def test_each_wish_has_a_list_for_each_python() -> None:
    made = {locks.lock(source, python) for source in locks.wanted() for python in locks.PYTHONS}
    assert made and {path for path in LISTS if path not in {SMG, *WEBUI}} == made


@pytest.mark.parametrize("path", LISTS, ids=lambda path: path.name)
def test_every_package_has_one_version_and_its_hashes(path: Path) -> None:
    found = requirements(path)
    assert found
    assert [
        one for one in found if not re.fullmatch(r"[A-Za-z0-9._-]+==\S+(\s+--hash=sha256:[0-9a-f]{64})+", one)
    ] == []


@pytest.mark.parametrize("source", locks.wanted(), ids=lambda path: path.stem)
def test_a_list_has_what_is_wanted(source: Path) -> None:
    for python in locks.PYTHONS:
        written = text(locks.lock(source, python)).lower().replace("_", "-")
        assert all(f"{line} ".replace("_", "-") in written for line in source.read_text().split())


RESOLVED = [
    *((locks.lock(source, python), python) for source in locks.wanted() for python in locks.PYTHONS),
    *((SMG, python) for python in locks.PYTHONS),
    *((path, python) for path in WEBUI for python in ("3.11", "3.12")),
]


@pytest.mark.index
@pytest.mark.parametrize(("path", "python"), RESOLVED, ids=lambda value: getattr(value, "name", value))
def test_pip_resolves_it_for_its_python(path: Path, python: str, tmp_path: Path) -> None:
    """With everything that the packages need: the list is complete. The platform is this machine's.

    Open WebUI's own wheel asks for the whole, of which its list has the part without local models.
    """
    listed = tmp_path / "requirements.txt"
    listed.write_text(text(path))
    words = ["install", "--quiet", "--dry-run", "--ignore-installed", "--require-hashes", "--only-binary=:all:"]
    words += ["--python-version", python, "--target", str(tmp_path / "target"), "--requirement", str(listed)]
    words += ["--no-deps"] if path in WEBUI else []
    done = subprocess.run(
        [sys.executable, "-m", "pip", *words], capture_output=True, text=True, check=False, timeout=LIMIT_S
    )
    assert done.returncode == 0, done.stderr
