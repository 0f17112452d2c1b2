# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Short sizes in the words of each engine."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.parallelism.declared import declared, options_of

SHORT = {"tp": 8, "dp": 2, "ep": 16}


@pytest.mark.parametrize(
    ("engine", "options"),
    [
        ("vllm", {"tensor_parallel_size": 8, "data_parallel_size": 2, "enable_expert_parallel": True}),
        ("sglang", {"tensor_parallel_size": 8, "data_parallel_size": 2, "expert_parallel_size": 16}),
        ("lmdeploy", {"tp": 8, "dp": 2, "ep": 16}),
    ],
)
def test_options_of(engine: str, options: dict[str, Any]) -> None:
    assert options_of(engine, SHORT) == options


def test_a_size_wins_over_an_option_and_leaves_the_others() -> None:
    sizes = declared(
        "sglang", None, {"tp": 16, "dp": 8, "dp_attention": True}, {"tensor_parallel_size": 4, "moe_dense_tp_size": 1}
    )
    assert (sizes.tp, sizes.attention_dp, sizes.dense_tp, sizes.gpus) == (16, 8, 1, 16)
