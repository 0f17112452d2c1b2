# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of NCCL's variables: how it is made."""

from __future__ import annotations

import doctest
import json

from packaging.version import Version

from tools import nccl_variables
from tools.nccl_variables import TABLE, as_table, from_table, names, stored, text


def test_names_stand_at_the_ends_of_texts() -> None:
    assert doctest.testmod(nccl_variables).failed == 0
    padded = b"                NCCL_NTHREADS\0NCCL_IB_HCA set to %s\0(NCCL_MAX)\0not via NCCL_CONFIG_INITIALIZER\0"
    assert names(padded) == ["NCCL_NTHREADS"]


def test_a_table_and_back() -> None:
    releases = {
        "2.18.1": {"sha256": "a", "names": {"NCCL_A", "NCCL_B"}},
        "2.20.5": {"sha256": "b", "names": {"NCCL_A"}},
        "2.30.3": {"sha256": "c", "names": {"NCCL_A", "NCCL_B", "NCCL_C"}},
    }
    table = as_table(releases)
    assert table["variables"] == {
        "NCCL_A": [["2.18.1", None]],
        "NCCL_B": [["2.18.1", "2.18.1"], ["2.30.3", None]],
        "NCCL_C": [["2.30.3", None]],
    }
    assert from_table(table) == releases
    assert json.loads(text(table)) == table


def test_the_stored_table_is_what_the_tool_writes() -> None:
    releases = stored()
    assert TABLE.read_text() == text(as_table(releases))
    assert Version("2.18.1") in map(Version, releases) and len(releases) >= 28
    assert all(len(one["sha256"]) == 64 and len(one["names"]) > 100 for one in releases.values())
