# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every command that the pages show: it is there, and Ansible or make accept it.

What runs for real on the test ground is in the molecule scenarios. Here each ``ansible-playbook`` of the pages is parsed with its
inventory and options, each target of make and each script must exist, and anything else must be a program that is named below.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
PAGES = [CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").glob("*.md")), *sorted((CHECKOUT / "tests").rglob("*.md"))]

# programs of the operator's machine or of a node; what the pages do with them is read by people
OTHERS = {
    "ansible": "ad hoc",
    "ansible-builder": "needs a container runtime and a registry",
    "ansible-doc": "tests/package runs it",
    "ansible-galaxy": "tests/package runs it",
    "ansible-vault": "a password is asked for",
    ".": "the shell's own",
    "cd": "the shell's own",
    "cp": "an inventory",
    "curl": "needs an endpoint",
    "fullrank-check": "on a node",
    "git": "needs the repository's address",
    "hf": "needs the hub",
    "journalctl": "on a node",
    "modelscope": "needs the hub",
    "pip": "the Makefile runs it",
    "python": "examples",
    "python3": "makes an environment",
    "ssh": "a node",
    "systemctl": "on a node",
    "torchrun": "needs nodes of your own",
}


def commands() -> list[tuple[str, str]]:
    """(page, command) of every console block; continued lines are one, comments are cut off."""
    found: dict[tuple[str, str], None] = {}
    for page in PAGES:
        for block in re.findall(r"^ *```console\n(.*?)^ *```", page.read_text(), re.MULTILINE | re.DOTALL):
            for line in re.sub(r"\\\n\s*", " ", block).splitlines():
                if line.strip() and not line.strip().startswith("#"):
                    found[(str(page.relative_to(CHECKOUT)), line.strip())] = None
    return list(found)


@cache
def accepted(words: tuple[str, ...]) -> str:
    """Why ansible-playbook does not accept this; empty when it does. It is only parsed: nothing is asked or run."""
    environment = {
        "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"),
        "PATH": f"{BIN}:/usr/bin:/bin",
        "HOME": os.environ["HOME"],
    }
    # an inventory of somebody's own stands for the example; a vault would ask for its password
    own = ["inventories/prod" if word in ("inventories/mine", "inventory") else word for word in words]
    own = [word for word in own if word != "--ask-vault-pass"]
    done = subprocess.run(
        [BIN / "ansible-playbook", "--syntax-check", *own],
        cwd=CHECKOUT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return "" if done.returncode == 0 and "Could not match supplied host pattern" not in done.stderr else done.stderr


@pytest.mark.parametrize(("page", "command"), commands())
def test_the_command_is_one(page: str, command: str) -> None:
    words = shlex.split(command, comments=True)
    while "=" in words[0]:  # environment before the command
        words = words[1:]
    program = words[0]
    if program == "ansible-playbook":
        assert accepted(tuple(words[1:])) == "", f"{page}: {command}"
    elif program == "make":
        targets = set(re.findall(r"^([a-z][\w.-]*):", (CHECKOUT / "Makefile").read_text(), re.MULTILINE))
        assert {word for word in words[1:] if "=" not in word} <= targets, f"{page}: {command}"
    elif "/" in program:
        script = CHECKOUT / program
        assert script.is_file() and os.access(script, os.X_OK), f"{page}: {command}"
    else:
        assert program in OTHERS, f"{page}: {command}"


def test_there_are_commands() -> None:
    assert len(commands()) > 20
