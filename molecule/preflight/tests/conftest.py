"""The scenario's own inventory: three nodes, one deployment."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def inventory() -> Path:
    return Path(__file__).resolve().parents[1] / "inventory"


@pytest.fixture(scope="session")
def node_count() -> int:
    return 3
