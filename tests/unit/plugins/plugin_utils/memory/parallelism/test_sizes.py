# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which ranks serve, and which copies lie where."""

from __future__ import annotations

import pytest
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.parallelism.sizes import (
    EXTERNAL,
    HYBRID,
    INTERNAL,
    Parallel,
)


@pytest.mark.parametrize(
    ("balancing", "tp", "dp", "nnodes", "serving"),
    [
        (INTERNAL, 8, 2, 2, [0]),
        (EXTERNAL, 8, 2, 2, [0, 1]),
        (EXTERNAL, 16, 2, 4, [0, 2]),  # a copy over two nodes has its server on the first
        (HYBRID, 1, 16, 2, [0, 1]),
        (HYBRID, 16, 1, 2, [0]),
        (EXTERNAL, 4, 2, 1, [0]),
    ],
)
def test_who_serves(balancing: str, tp: int, dp: int, nnodes: int, serving: list[int]) -> None:
    sizes = Parallel(tp=tp, dp=dp, nnodes=nnodes, balancing=balancing)
    assert [rank for rank in range(nnodes) if sizes.serves(rank)] == serving


@pytest.mark.parametrize(("dp", "nnodes", "first"), [(16, 2, [0, 8]), (2, 4, [0, 0, 1, 1]), (1, 2, [0, 0])])
def test_the_first_copy_of_a_node(dp: int, nnodes: int, first: list[int]) -> None:
    sizes = Parallel(tp=16 // dp, dp=dp, nnodes=nnodes)
    assert [sizes.first_copy(rank) for rank in range(nnodes)] == first


def test_the_product_names_what_multiplies() -> None:
    assert Parallel(tp=8, pp=2, pcp=2).product == "tensor 8 x pipeline 2 x prefill context 2 = 32 processes"
    assert Parallel().product == "tensor 1 = 1 processes"
