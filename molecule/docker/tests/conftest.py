# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of this scenario have in common: the role with variables, and commands on the nodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from testinfra.host import Host


class Node:
    """A node, by commands that must succeed."""

    def __init__(self, host: Host) -> None:
        self.host = host

    def __call__(self, command: str) -> str:
        done = self.host.run(command)
        assert done.rc == 0, f"{command}: {done.stderr or done.stdout}"
        return str(done.stdout).strip()

    def succeeds(self, command: str) -> bool:
        return bool(self.host.run(command).rc == 0)

    def write(self, path: str, text: str) -> None:
        self(f"mkdir -p $(dirname {path}) && cat > {path} <<'END'\n{text}\nEND")


@pytest.fixture(scope="session")
def n1(nodes: dict[str, Host]) -> Node:
    return Node(nodes["n1"])


@pytest.fixture(scope="session")
def n2(nodes: dict[str, Host]) -> Node:
    return Node(nodes["n2"])


@pytest.fixture
def docker(play: Callable[..., Any]) -> Callable[..., Any]:
    """Run the role; keyword arguments are its variables."""

    def run(*arguments: str, **variables: Any) -> Any:
        return play("molecule/docker/converge.yml", *arguments, **variables)

    return run


@pytest.fixture
def move(play: Callable[..., Any]) -> Callable[..., Any]:
    """Run the module docker_data_root alone, without the other tasks of the role."""

    def run(path: str, *arguments: str, **options: Any) -> Any:
        return play("molecule/docker/move.yml", *arguments, path=path, **options)

    return run
