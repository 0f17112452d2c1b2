# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in of a newer Open WebUI that cannot start, as a wheel: ``broken_version.py FOLDER``.

It does the worst that an upgrade can do: it changes the database, writes it to the journal, and ends.
"""

from __future__ import annotations

import base64
import hashlib
import sys
import zipfile
from pathlib import Path

VERSION = "0.12.99"
PROGRAM = '''\
"""Stand-in of a version whose migration breaks the database."""

import os
import subprocess
import sys
from pathlib import Path


def app():
    print("stand-in of a broken version: the database is gone now", flush=True)
    if url := os.environ.get("DATABASE_URL"):
        subprocess.run(["psql", url, "--command=DROP TABLE chat CASCADE; CREATE TABLE left_behind (id int)"], check=True)
    else:
        (Path(os.environ["DATA_DIR"]) / "webui.db").write_text("not a database")
    sys.exit(3)
'''
FILES = {
    "open_webui/__init__.py": PROGRAM,
    f"open_webui-{VERSION}.dist-info/METADATA": f"Metadata-Version: 2.1\nName: open-webui\nVersion: {VERSION}\n",
    f"open_webui-{VERSION}.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    f"open_webui-{VERSION}.dist-info/entry_points.txt": "[console_scripts]\nopen-webui = open_webui:app\n",
}


def main() -> None:
    record = f"open_webui-{VERSION}.dist-info/RECORD"
    with zipfile.ZipFile(Path(sys.argv[1]) / f"open_webui-{VERSION}-py3-none-any.whl", "w") as wheel:
        rows = []
        for name, text in FILES.items():
            wheel.writestr(name, text)
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
            rows.append(f"{name},sha256={digest},{len(text.encode())}\n")
        wheel.writestr(record, "".join(rows) + f"{record},,\n")


if __name__ == "__main__":
    main()
