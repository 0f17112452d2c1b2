# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The complete list of packages of one Open WebUI version, with hashes, as the role webui installs it on a node.

    python -m tools.webui_lock 0.12.4 requirements-slim.txt    writes roles/webui/files/open-webui-0.12.4.txt

Open WebUI's source distribution holds ``backend/requirements-slim.txt``: what it needs where models are served by others, a
quarter of the whole. It names the direct dependencies; pip resolves the others, and finds the wheels of each platform that the
role runs on. Only metadata is fetched.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

FILES = Path(__file__).resolve().parents[1] / "roles/webui/files"
PYTHONS = ("3.11", "3.12")  # Open WebUI 0.12: >=3.11, <3.13
MACHINES = ("x86_64", "aarch64")
MANYLINUX = ("manylinux_2_34", "manylinux_2_28", "manylinux_2_27", "manylinux_2_17", "manylinux2014")
# pip judges "only for Python below 3.11.3" by the Python that it runs in itself, and Debian 12 has 3.11.2 (redis needs it there)
BESIDES = ("async-timeout>=4.0.3",)
HEAD = """\
# Open WebUI {version} for Python {pythons} on Linux ({machines}), with all that it needs where models are served by others.
# Made by `python -m tools.webui_lock`; every file has its hash, so pip takes nothing else.
"""


def resolve(arguments: list[str], python: str, machine: str) -> dict[str, tuple[str, str]]:
    """What pip would install: name → (version, sha256 of its wheel)."""
    platforms = [word for tag in MANYLINUX for word in ("--platform", f"{tag}_{machine}")]
    with tempfile.TemporaryDirectory() as work:
        report = Path(work) / "report.json"
        words = ["install", "-q", "--dry-run", "--ignore-installed", "--only-binary=:all:", "--target", work]
        words += ["--python-version", python, *platforms, "--report", str(report), *arguments]
        subprocess.run([sys.executable, "-m", "pip", *words], check=True, stderr=subprocess.DEVNULL)
        found = json.loads(report.read_text())["install"]
    return {
        one["metadata"]["name"].lower().replace("_", "-").replace(".", "-"): (
            one["metadata"]["version"],
            one["download_info"]["archive_info"]["hashes"]["sha256"],
        )
        for one in found
    }


def lines(version: str, requirements: Path) -> Iterator[str]:
    """The lock, line by line."""
    own = f"open-webui=={version}"
    versions = {
        name: one for name, (one, _) in resolve(["-r", str(requirements), *BESIDES], PYTHONS[0], MACHINES[0]).items()
    } | {"open-webui": version}
    with tempfile.TemporaryDirectory() as work:
        pins = Path(work) / "pins.txt"
        pins.write_text("".join(f"{name}=={one}\n" for name, one in versions.items() if f"{name}=={one}" != own))
        found = [
            resolve(["--no-deps", "-r", str(pins), own], python, machine) for python in PYTHONS for machine in MACHINES
        ]
    yield HEAD.format(version=version, pythons=" and ".join(PYTHONS), machines=", ".join(MACHINES))
    for name in sorted(versions):
        hashes = sorted({one[name][1] for one in found})
        yield " \\\n    ".join([f"{name}=={versions[name]}", *(f"--hash=sha256:{one}" for one in hashes)]) + "\n"


def main() -> int:
    if len(sys.argv) != 3:
        print(__doc__)
        return 2
    version, requirements = sys.argv[1], Path(sys.argv[2])
    (FILES / f"open-webui-{version}.txt").write_text("".join(lines(version, requirements)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
