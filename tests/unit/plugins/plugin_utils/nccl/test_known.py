# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of variables against NCCL's documentation, and its reading."""

from __future__ import annotations

import pytest
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.known import is_read, read_from, read_until, runs
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.lint import nccl_lint
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.variables import VARIABLES

LATER_THAN_DOCUMENTED = {"NCCL_SOCKET_POLL_TIMEOUT_MSEC"}
"""The user guide has 2.28; the first library and source that have it are those of 2.29.2."""

# documented as removed before 2.18, the first release of the table
GONE = {name for name, variable in VARIABLES.items() if variable.removed}


def test_every_documented_variable_is_in_the_library() -> None:
    assert VARIABLES.keys() - runs().keys() == GONE


@pytest.mark.parametrize("name", sorted(VARIABLES.keys() - GONE - LATER_THAN_DOCUMENTED))
def test_since_agrees_with_the_library(name: str) -> None:
    """NVIDIA's "(since 2.x)" names a minor release; the library may be the first patch of it, or older."""
    documented, first = VARIABLES[name].since, read_from(name)
    assert not documented or not first or first[:2] <= documented[:2]


@pytest.mark.parametrize(
    ("name", "version", "expect"),
    [
        ("NCCL_IB_MERGE_VFS", (2, 27, 3), True),
        ("NCCL_IB_MERGE_VFS", None, True),
        ("NCCL_IB_FIFO_TC", (2, 20, 5), False),
        ("NCCL_IB_FIFO_TC", (2, 22), True),
        ("NCCL_IB_TC", (2, 18), True),
        ("NCCL_IB_TOS", (2, 30), False),
        ("NCCL_AGG_CHANNEL_SIZE", (2, 18, 5), True),
        ("NCCL_AGG_CHANNEL_SIZE", (2, 30, 7), False),
        ("NCCL_IB_TC", (2, 99), True),
    ],
)
def test_reading_by_version(name: str, version: tuple[int, ...] | None, expect: bool) -> None:
    assert is_read(name, version) is expect


def test_first_and_last() -> None:
    assert read_from("NCCL_IB_TC") == ()
    assert read_from("NCCL_RAS_ENABLE") == (2, 24, 3)
    assert read_until("NCCL_IB_TC") == ()
    assert read_until("NCCL_AGG_CHANNEL_SIZE") == (2, 19, 3)
    assert (read_from("NCCL_NO"), read_until("NCCL_NO")) == ((), ())


def test_the_lint_uses_it() -> None:
    assert nccl_lint({"NCCL_IB_MERGE_VFS": 1}, {"nccl_version": "2.27.3"}) == []
    (found,) = nccl_lint({"NCCL_AGG_CHANNEL_SIZE": 1}, {"nccl_version": "2.27.3"})
    assert (found["code"], found["severity"]) == ("removed-variable", "warn")
    (found,) = nccl_lint({"NCCL_IB_QUERY_PORT_SPEED": 1}, {"nccl_version": "2.21.5"})
    assert found["code"] == "newer-variable"
