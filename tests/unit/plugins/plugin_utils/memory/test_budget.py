# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The KV pool beside what engines printed when they started: logs that the constants were chosen with, and others."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.budget import budget
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.engines import engine
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.gpus import gpu
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.model import Architecture
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.parallelism.sizes import Parallel
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.pool import Load
from memory_logs import LOGS, Compared, compared, errors, left_out, middle

RAN = ("serves",)
LARGEST_ERROR = 0.14
UNEXPLAINED = ("sglang#6017",)
"""More memory was gone there than is known why; its interval reaches it."""


def name(log: dict[str, Any]) -> str:
    return compared(log).name


@pytest.mark.parametrize("log", LOGS["logs"], ids=name)
def test_a_start_that_failed_is_never_called_fitting(log: dict[str, Any]) -> None:
    result = compared(log)
    assert result.fit["verdict"] != "unknown", result.fit["summary"]
    assert log["outcome"] in RAN or result.fit["verdict"] != "fits", result.fit["summary"]


@pytest.mark.parametrize("log", [log for log in LOGS["logs"] if log.get("pool", -1) > 0], ids=name)
def test_the_pool_is_near_the_printed_one(log: dict[str, Any]) -> None:
    result = compared(log)
    assert result.error is not None
    assert abs(result.error) < LARGEST_ERROR or log["source"] in UNEXPLAINED, (result.estimated, result.measured)


@pytest.mark.parametrize("log", [log for log in LOGS["logs"] if log["outcome"] == "refuses without a pool"], ids=name)
def test_no_pool_is_no_pool(log: dict[str, Any]) -> None:
    assert compared(log).estimated < 0


@pytest.mark.parametrize("engine, used, most", [
    ("vllm", "fit", 0.03), ("vllm", "held out", 0.03), ("sglang", "fit", 0.08), ("sglang", "held out", 0.05),
])  # fmt: skip
def test_the_median_error(engine: str, used: str, most: float) -> None:
    """The target is 5 % on logs that were not seen; SGLang's three logs of the first kind are few."""
    assert middle(errors(engine, used)) <= most


def test_no_log_carries_a_constant_alone() -> None:
    """Each of vLLM's logs left out in turn: the constants hardly move."""
    assert middle(left_out()) <= 0.03


def test_most_pools_lie_within_the_interval() -> None:
    results: list[Compared] = [compared(log) for log in LOGS["logs"] if "pool" in log]
    outside = [result.name for result in results if not result.inside]
    assert len(outside) <= len(results) * 0.1, outside


def test_enough_logs_were_held_out() -> None:
    held_out = [log for log in LOGS["logs"] if log["used"] == "held out"]
    assert len(held_out) >= 15 and all(log["source"] for log in LOGS["logs"])


def test_every_engine_has_its_own_rule_and_another_one_is_counted_like_vllm() -> None:
    load = Load(
        gpu({"gpu": "H100"}), 10**10, Architecture(layers=32, hidden=4096, vocab=128256, intermediate=14336), Parallel()
    )
    pools = {name: budget(engine(name), load, 0.8).kv for name in ("vllm", "sglang", "lmdeploy", "other")}
    assert len(set(pools.values())) == 3 and pools["other"] == pools["vllm"]
