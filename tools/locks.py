# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The complete lists of packages that roles install on nodes: every file with its hash, for each version of Python.

    python -m tools.locks               makes them again, with the versions that they have
    python -m tools.locks --upgrade     with the newest versions that fit

``<name>.in`` beside the lists has the packages that are wanted, and ``uv pip compile --generate-hashes`` finds the rest. uv is in
no group of this project: ``pip install uv`` brings it. Open WebUI has a tool of its own, `tools.webui_lock`.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
FOLDERS = ("roles/model/files",)
HEAD = "# {name} for Python {python}, with all that it needs, as {role} installs it. Made by `python -m tools.locks`.\n"


def wanted() -> list[Path]:
    """The files with the packages that are wanted."""
    return sorted(path for folder in FOLDERS for path in (CHECKOUT / folder).glob("*.in"))


def lock(source: Path, python: str) -> Path:
    """Where the list for a version of Python lies."""
    return source.with_name(f"{source.stem}-{python}.txt")


def make(source: Path, python: str, options: list[str]) -> None:
    target = lock(source, python)
    words = [
        "uv",
        "pip",
        "compile",
        "--quiet",
        "--generate-hashes",
        "--no-header",
        "--no-annotate",
        "--only-binary=:all:",
    ]
    words += [
        "--python-version",
        python,
        "--python-platform",
        "linux",
        "--output-file",
        str(target),
        *options,
        str(source),
    ]
    subprocess.run(words, check=True)
    role = "/".join(source.relative_to(CHECKOUT).parts[:2])
    target.write_text(HEAD.format(name=source.stem, python=python, role=role) + target.read_text())


def main() -> int:
    if set(sys.argv[1:]) - {"--upgrade"}:
        print(__doc__)
        return 2
    for source in wanted():
        for python in PYTHONS:
            make(source, python, sys.argv[1:])
    return 0


if __name__ == "__main__":
    sys.exit(main())
