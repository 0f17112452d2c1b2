# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for systemd-run on PATH: keeps what is started, and reports every unit as active or not, as the test wants."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

_PROGRAM = """\
#!{python}
import json, os, sys
from pathlib import Path
folder, name = Path({folder!r}), Path(sys.argv[0]).name
with (folder / "calls").open("a") as log:
    log.write(json.dumps([name, *sys.argv[1:]]) + "\\n")
active = folder / "active"
if name == "systemd-run":
    if (folder / "refuses").exists():
        sys.exit("Failed to start transient service unit")
    active.touch()
    if (folder / "hook").exists():
        os.execv("/bin/sh", ["/bin/sh", str(folder / "hook")])
elif name == "systemctl" and sys.argv[1] == "show":
    print("LoadState=loaded\\nActiveState=" + ("active" if active.exists() else "inactive"))
elif name == "systemctl" and sys.argv[1] == "stop":
    active.unlink(missing_ok=True)
elif name == "journalctl":
    print("the last line of the journal")
"""


class Systemd:
    """``systemd-run``, ``systemctl`` and ``journalctl`` of a test."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        folder.mkdir()
        # no test makes an account: work is root's then, as on a node that has none
        for name in ("systemd-run", "systemctl", "journalctl", "systemd-sysusers"):
            program = folder / name
            program.write_text(_PROGRAM.format(python=sys.executable, folder=str(folder)))
            program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def runs(self) -> None:
        """Every unit is active from now on."""
        (self.folder / "active").touch()

    def ended(self) -> None:
        (self.folder / "active").unlink(missing_ok=True)

    def on_start(self, script: str) -> None:
        """A shell script that a start runs, instead of the unit's command."""
        (self.folder / "hook").write_text(script)

    def refuses(self) -> None:
        (self.folder / "refuses").touch()

    def calls(self, name: str) -> list[list[str]]:
        """The words of each call of a program so far."""
        log = self.folder / "calls"
        found = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        return [words[1:] for words in found if words[0] == name]


def properties(words: list[str]) -> dict[str, str]:
    """The properties on a command line of ``systemd-run``; the values of one that is repeated, with blanks between."""
    found: dict[str, str] = {}
    for word in words:
        if word.startswith("--property="):
            name, _unused, value = word.removeprefix("--property=").partition("=")
            found[name] = f"{found[name]} {value}" if name in found else value
    return found
