# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The test of a module or action is found by its path."""

from __future__ import annotations

import pytest
from places import CHECKOUT

PLUGINS = CHECKOUT / "plugins"
TESTS = CHECKOUT / "tests/unit/plugins"
# An action and its module share a name, and one test: either file will do.
PENDING: set[str] = set()
"""Those that have none yet. Nothing is added here."""
NAMES = sorted(
    {path.stem for kind in ("modules", "action") for path in (PLUGINS / kind).glob("*.py")} - {"__init__"} - PENDING
)


@pytest.mark.parametrize("name", NAMES)
def test_every_module_and_action_has_a_test_of_its_own(name: str) -> None:
    files = [TESTS / kind / f"test_{name}.py" for kind in ("modules", "action")]
    tests = [file.read_text() for file in files if file.exists()]
    assert any("def test_" in text and name in text for text in tests), f"write {files[0].relative_to(CHECKOUT)}"
