"""For the tests of a transfer: a model on n1, slow links, and what crossed a node's link."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from transfers import Model


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
def arrived(ground: Callable[..., str]) -> Callable[[str], int]:
    """Bytes that a node's interface has received until now."""
    return lambda node: int(ground("exec", node, "cat /sys/class/net/eth0/statistics/rx_bytes"))
