# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The node that the preflight's tests plant faults in."""

from __future__ import annotations

from pathlib import Path

import preflight_node as node
import pytest


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return node.lay_out(tmp_path)
