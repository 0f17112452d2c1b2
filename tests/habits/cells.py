# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of `cells.yml`, and one run for each of its cells."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parents[1]
LIMIT_S = 600


@dataclass(frozen=True)
class Cell:
    """A verb under a limit in a state, and what it must do."""

    state: str
    verb: str
    limit: str
    arguments: str
    inventory: str
    rc: int
    changed: int
    line: str
    absent: str

    @property
    def name(self) -> str:
        words = [
            self.state,
            self.verb.removesuffix(".yml"),
            *self.arguments.split(),
            *(["-l", self.limit] if self.limit else []),
        ]
        return " ".join(words)


@dataclass(frozen=True)
class Run:
    """What a run of ansible-playbook has shown."""

    rc: int
    text: str

    @property
    def printed(self) -> str:
        """Without the line breaks that depend on the width of a terminal."""
        return " ".join(self.text.split())

    @property
    def changed(self) -> int:
        return sum(int(number) for number in re.findall(r"changed=(\d+)", self.text.rpartition("PLAY RECAP")[2]))

    @property
    def broken(self) -> list[str]:
        """What no run may show, whatever its outcome: warnings of Ansible itself, tracebacks, errors of templates."""
        wrong = (
            "[WARNING]",
            "[DEPRECATION",
            "Traceback",
            "has no attribute",
            "is undefined",
            "Could not match supplied",
        )
        ours = "[WARNING]: engine_api_key: everyone who reaches"  # of the launch, which this inventory leaves open
        return [line for line in self.text.splitlines() if any(word in line for word in wrong) and ours not in line]


def cells(text: str) -> list[Cell]:
    """The cells of the table, in its order. A row has one cell for each of its limits."""
    found = []
    for state, rows in yaml.safe_load(text).items():
        for row in rows:
            params = {"arguments": "", "inventory": "inventory", "changed": 0, "line": "", "absent": "", **row}
            limits = params.pop("limits", [""])
            found += [Cell(state=state, limit=str(limit or ""), **params) for limit in limits]
    return found


def play(verb: str, arguments: str = "", limit: str = "", inventory: str = "inventory") -> Run:
    """One run, as an operator has it."""
    playbook = verb if verb == "site.yml" else f"playbooks/{verb}"
    words = [playbook, "-i", str(HERE / inventory), *arguments.split(), *(["-l", limit] if limit else [])]
    environment: dict[str, Any] = {
        **os.environ,
        "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"),
        "ANSIBLE_NOCOLOR": "1",
    }
    done = subprocess.run(
        [str(Path(sys.executable).with_name("ansible-playbook")), *words],
        check=False,
        capture_output=True,
        text=True,
        cwd=CHECKOUT,
        env=environment,
        timeout=LIMIT_S,
    )
    return Run(done.returncode, done.stdout + done.stderr)
