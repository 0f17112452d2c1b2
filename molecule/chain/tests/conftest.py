"""The ground's nodes by testinfra, and playbooks by ansible-runner, which is also how other programs call them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ansible_runner
import pytest
import testinfra
from testinfra.host import Host

CHECKOUT = Path(__file__).resolve().parents[3]
GROUND = CHECKOUT / "tests/ground/ground.py"
INVENTORY = CHECKOUT / "inventories/local"
ADDRESSES = {"n1": "10.77.0.11", "n2": "10.77.0.12"}
SSH = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
LIMIT_S = 600


@dataclass
class Outcome:
    """What a caller sees of a playbook."""

    rc: int
    stats: dict[str, Any]
    outcome: dict[str, Any]
    """What the playbook gave by set_stats."""
    text: str

    @property
    def changed(self) -> int:
        return sum(self.stats.get("changed", {}).values())


@pytest.fixture(scope="session")
def nodes() -> dict[str, Host]:
    key = str(CHECKOUT / ".cache/ground/id_ed25519")
    return {
        name: testinfra.get_host(f"ssh://root@{address}", ssh_identity_file=key, ssh_extra_args=SSH)
        for name, address in ADDRESSES.items()
    }


@pytest.fixture
def play(tmp_path: Path) -> Callable[..., Outcome]:
    """Run a playbook; keyword arguments are extra variables."""

    def run(playbook: str, *arguments: str, inventory: Path = INVENTORY, **variables: Any) -> Outcome:
        result = ansible_runner.run(
            private_data_dir=str(tmp_path),
            project_dir=str(CHECKOUT),
            playbook=playbook,
            inventory=str(inventory),
            cmdline=" ".join(arguments) or None,
            extravars=variables,
            envvars={"ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"), "PATH": os.environ["PATH"]},
            timeout=LIMIT_S,
            quiet=True,
        )
        stats: dict[str, Any] = {}
        for event in result.events:
            if event["event"] == "playbook_on_stats":
                stats = event["event_data"]
        given = stats.get("artifact_data", {}).get("fullrank", {})
        text = result.stdout.read()
        print(text)
        return Outcome(result.rc, stats, given, text)

    return run


@pytest.fixture
def ground() -> Callable[..., str]:
    """The ground's own command, e.g. ``ground("cut", "n2")``."""

    def run(*arguments: str) -> str:
        return subprocess.run([str(GROUND), *arguments], check=True, capture_output=True, text=True, timeout=60).stdout

    return run
