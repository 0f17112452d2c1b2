"""The scenario's own inventory: three nodes, one deployment."""

from __future__ import annotations

from pathlib import Path

import pytest

SCENARIO = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def inventory() -> Path:
    return SCENARIO / "inventory"


@pytest.fixture(scope="session")
def inventory_with_faults(inventory: Path) -> list[Path]:
    return [inventory, SCENARIO / "faults"]


@pytest.fixture(scope="session")
def node_count() -> int:
    return 3
