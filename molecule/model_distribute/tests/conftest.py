# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""For the tests of a transfer: a model on n1, slow links, and what crossed a node's link."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from transfers import PORT, Model, in_network


@pytest.fixture
def model(ground: Callable[..., str], inventory: Path, request: pytest.FixtureRequest) -> Iterator[Model]:
    one = Model(f"/srv/weights/{request.node.name[:40]}", ground, inventory)
    one.make("n1")
    yield one
    for node in ("n1", "n2", "n3", "n4"):
        one.on(node, f"rm -rf {one.path}")


@pytest.fixture
def slow(ground: Callable[..., str]) -> Iterator[None]:
    """All links at 10 Mbit/s, so that a transfer takes long enough to meet something."""
    for node in ("n1", "n2", "n3", "n4"):
        ground("rate", node, "10mbit")
    yield
    for node in ("n1", "n2", "n3", "n4"):
        ground("rate", node, "off")


@pytest.fixture
def arrived() -> Iterator[Callable[[str], int]]:
    """Bytes that the transfers have brought to a node since the test began: packets from their port, counted by its kernel."""
    for node in ("n1", "n2", "n3", "n4"):
        for rule in (
            "table ip arrived",
            "chain ip arrived in { type filter hook input priority 0 ; }",
            f"rule ip arrived in tcp sport {PORT} counter",
        ):
            in_network(node, "nft", "add", *rule.split())

    def count(node: str) -> int:
        found = re.search(r"bytes (\d+)", in_network(node, "nft", "list", "table", "ip", "arrived"))
        assert found
        return int(found[1])

    yield count
    for node in ("n1", "n2", "n3", "n4"):
        in_network(node, "nft", "delete", "table", "ip", "arrived")
