# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options in any spelling are the same options."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.files import read_catalog
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.parallelism.resolve import planned, resolved

SPELLINGS: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = [
    ("sglang", "0.5.12", {"--ep": 8}, {"expert_parallel_size": 8}),
    ("sglang", "0.5.12", {"ep-size": "8"}, {"expert_parallel_size": 8}),
    ("sglang", "0.4.9", {"enable-ep-moe": "true"}, {"enable_ep_moe": True}),
    ("vllm", "0.33.0", {"no-enable-expert-parallel": True}, {"enable_expert_parallel": False}),
    ("vllm", "0.20.2", {"eplb-config": '{"num_redundant_experts": 2}'}, {"eplb_config": {"num_redundant_experts": 2}}),
    ("vllm", "0.20.2", {"no_such_option": 1, "enable_expert_parallel": "perhaps"}, {}),
]


@pytest.mark.parametrize(("engine", "version", "written", "meant"), SPELLINGS)
def test_resolved(engine: str, version: str, written: dict[str, Any], meant: dict[str, Any]) -> None:
    assert resolved(read_catalog(engine).at(version), written) == meant


@pytest.mark.parametrize(("engine", "version"), [("vllm", "0.20.2"), ("sglang", "0.5.12"), ("lmdeploy", "0.18.0")])
def test_first_class_sizes_count_for_every_engine(engine: str, version: str) -> None:
    sizes = {"tensor_parallel_size": 4, "data_parallel_size": 2, "pipeline_parallel_size": 1}
    found = planned(read_catalog(engine).at(version), sizes, {})
    assert (found.tp, found.dp, found.gpus) == (4, 2, 8)
