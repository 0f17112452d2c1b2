# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""For all scenarios: the ground's nodes by testinfra, and playbooks by ansible-runner, as other programs call them."""

from __future__ import annotations

import functools
import os
import re
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ansible_runner
import pytest
import testinfra
import yaml
from helpers import NET
from testinfra.host import Host

CHECKOUT = Path(__file__).resolve().parents[1]
GROUND = CHECKOUT / "tests/ground/ground.py"
LOCAL = CHECKOUT / "inventories/local"
ADDRESSES = CHECKOUT / "molecule/shared/inventory/addresses.yml"
SSH = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
LIMIT_S = 900


@dataclass
class Outcome:
    """What a caller sees of a playbook."""

    rc: int
    stats: dict[str, Any]
    outcome: dict[str, Any]
    """What the playbook gave by set_stats."""
    text: str
    events: list[dict[str, Any]]
    """As ansible-runner hands them to other programs."""

    @property
    def printed(self) -> str:
        """What was printed, without the colours and line breaks that depend on the width of a terminal."""
        return " ".join(re.sub(r"\x1b\[[0-9;]*m", "", self.text).split())

    @property
    def changed(self) -> int:
        return sum(self.stats.get("changed", {}).values())


@pytest.fixture(scope="session")
def scenario(request: pytest.FixtureRequest) -> Path:
    """The folder of the scenario whose tests run."""
    return Path(request.session.items[0].path).parents[1]


@pytest.fixture(scope="session")
def inventory(scenario: Path) -> Path:
    """The scenario's own inventory where it has one, otherwise that of the README."""
    own = scenario / "inventory"
    return own if own.exists() else LOCAL


@pytest.fixture(scope="session")
def node_count(scenario: Path) -> int:
    return len(yaml.safe_load((scenario / "molecule.yml").read_text())["platforms"])


@pytest.fixture(scope="session")
def nodes(node_count: int) -> dict[str, Host]:
    key = str(CHECKOUT / ".cache/ground/id_ed25519")
    return {
        f"n{number}": testinfra.get_host(f"ssh://root@{NET}.{10 + number}", ssh_identity_file=key, ssh_extra_args=SSH)
        for number in range(1, node_count + 1)
    }


@pytest.fixture
def node(nodes: dict[str, Host]) -> Host:
    """The first node."""
    return nodes["n1"]


@pytest.fixture
def play(tmp_path: Path, inventory: Path) -> Callable[..., Outcome]:
    """Run a playbook; keyword arguments are extra variables. limit_s: seconds in which it must end."""
    usual = inventory

    def run(
        playbook: str, *arguments: str, inventory: Path = usual, limit_s: int = LIMIT_S, **variables: Any
    ) -> Outcome:
        result = ansible_runner.run(
            # a folder for each run: ansible-runner keeps the variables of the run before in it
            private_data_dir=tempfile.mkdtemp(dir=tmp_path),
            project_dir=str(CHECKOUT),
            playbook=playbook,
            # the inventory of the README, at the addresses of this ground
            inventory=[str(inventory), str(ADDRESSES)] if inventory == LOCAL else str(inventory),
            cmdline=" ".join(arguments) or None,
            extravars=variables,
            envvars={"ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"), "PATH": os.environ["PATH"]},
            timeout=limit_s,
            quiet=True,
        )
        stats: dict[str, Any] = {}
        events = list(result.events)
        for event in events:
            if event["event"] == "playbook_on_stats":
                stats = event["event_data"]
        outcome = stats.get("artifact_data", {}).get("fullrank", {})
        text = result.stdout.read()
        print(text)
        return Outcome(result.rc, stats, outcome, text, events)

    return run


@pytest.fixture
def run(request: pytest.FixtureRequest, play: Callable[..., Outcome]) -> Callable[..., Outcome]:
    """``play`` with the playbook that the file of the test names PLAYBOOK."""
    return functools.partial(play, request.module.PLAYBOOK)


@pytest.fixture
def ground() -> Callable[..., str]:
    """The ground's own command, e.g. ``ground("cut", "n2")``."""

    def run(*arguments: str) -> str:
        return subprocess.run([str(GROUND), *arguments], check=True, capture_output=True, text=True, timeout=60).stdout

    return run
