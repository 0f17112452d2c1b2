# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the collection importable from the checkout, so that the tests can run the node's program as the collection has it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.plugins.loader import init_plugin_loader

init_plugin_loader([str(Path(__file__).resolve().parents[2] / "collections")])

from chains import SIZES, Chain


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Any]:
    made: list[Chain] = []

    def chain(count: int, sizes: dict[str, int] | None = None) -> Chain:
        made.append(Chain(tmp_path / f"chain{len(made)}", count, sizes or SIZES))
        return made[-1]

    yield chain
    for one in made:
        one.stop_all()
