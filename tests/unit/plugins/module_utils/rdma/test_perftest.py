# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line of ib_write_bw and its table."""

from __future__ import annotations

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.rdma import perftest
from places import DATA

DATA = DATA / "rdma"


@pytest.mark.parametrize(("name", "gbps"), [("sizes", 0.17), ("one", 0.48)])
def test_ib_write_bw_in_gigabits(name: str, gbps: float) -> None:
    assert perftest.parse((DATA / f"ib_write_bw-{name}-gbits.txt").read_text()) == gbps


def test_ib_write_bw_in_megabytes_and_without_result() -> None:
    text = (DATA / "ib_write_bw-one-gbits.txt").read_text().replace("Gb/sec", "MB/sec").replace("0.48 ", "11728.47 ")
    assert perftest.parse(text) == pytest.approx(98.38, abs=0.01)
    assert perftest.parse("Couldn't connect to 10.0.0.1:18515\n") is None


def test_both_ends_are_started_with_the_same_words() -> None:
    server = perftest.command("mlx5_0", 1, 18515, 5)
    assert perftest.command("mlx5_0", 1, 18515, 5, "10.0.0.2") == [*server, "10.0.0.2"]
