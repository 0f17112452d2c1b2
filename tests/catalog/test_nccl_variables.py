# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of NCCL's variables against its source, the published wheels."""

from __future__ import annotations

import pytest
from packaging.version import Version

from tools.nccl_variables import published, stored


@pytest.mark.index
def test_releases_made_again_are_as_stored() -> None:
    newest = max(stored(), key=Version)
    assert published([newest, "2.21.5"]) == {v: stored()[v] for v in (newest, "2.21.5")}
