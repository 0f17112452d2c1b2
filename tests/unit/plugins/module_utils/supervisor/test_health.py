# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Busy or hung: what may be concluded from an endpoint that does not answer."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.supervisor.health import (
    STALLED_PART,
    HealthProbe,
    tokens,
)

VLLM = """\
# HELP vllm:generation_tokens_total Number of generation tokens processed.
# TYPE vllm:generation_tokens_total counter
vllm:generation_tokens_total{engine="0",model_name="tiny"} 12.0
vllm:prompt_tokens_total{engine="0",model_name="tiny"} 3e1
vllm:generation_tokens_created{engine="0",model_name="tiny"} 1.7953e9
vllm:num_requests_running{engine="0",model_name="tiny"} 1.0
http_requests_total{handler="/metrics"} 99.0
process_cpu_seconds_total 12.5
"""
LIMIT = 120
OK = {"ready": True, "status": 200, "error": ""}
SLOW = {"ready": False, "status": 0, "error": "timed out"}
REFUSED = {"ready": False, "status": 0, "error": "[Errno 111] Connection refused"}
DEAD = {"ready": False, "status": 500, "error": "HTTP 500: EngineDeadError"}


def test_only_tokens_count_as_work() -> None:
    assert tokens(VLLM) == 42
    assert tokens("sglang_prompt_tokens_total 5\n") == 5  # as some exporters escape the colon
    assert tokens("http_requests_total 9\n") is None


def probed(answer: dict[str, Any], metrics: str = "") -> HealthProbe:
    """Ready at 0, then asked every five seconds for so long that the limit is over."""
    one = HealthProbe(LIMIT, 0)
    one.completion(OK, 0)
    one.metrics(metrics, 0)
    for now in range(5, 200, 5):
        one.completion(answer, now)
        one.metrics(metrics, now)
    return one


def test_an_endpoint_that_never_answered_is_loading() -> None:
    one = HealthProbe(LIMIT, 0)
    one.completion(REFUSED, 1)
    assert (one.health(10000).answers, one.health(10000).hung) == (False, False)


def test_no_answer_and_no_token_is_a_stall_and_then_a_hang() -> None:
    one = probed(SLOW, VLLM)
    assert not one.health(LIMIT / STALLED_PART).stalled
    assert one.health(LIMIT / STALLED_PART + 1).stalled
    assert not one.health(LIMIT).hung
    assert one.health(LIMIT + 1).hung
    assert "no completion and no token for 121 s" in one.health(LIMIT + 1).summary


def test_a_busy_engine_is_left_alone_for_ever() -> None:
    one = HealthProbe(LIMIT, 0)
    one.completion(OK, 0)
    for now in range(0, 100000, 60):
        one.completion(SLOW, now)  # the queue is long
        one.metrics(f"vllm:generation_tokens_total {now + 1}", now)
        health = one.health(now)
        assert (health.answers, health.hung) == (True, False)


def test_one_token_in_the_limit_is_enough() -> None:
    one = HealthProbe(LIMIT, 0)
    one.completion(OK, 0)
    one.metrics("vllm:prompt_tokens_total 1", 1)
    one.metrics("vllm:prompt_tokens_total 2", 119)  # the end of a long prefill
    assert not one.health(200).hung


def test_slowness_proves_nothing_without_counters() -> None:
    health = probed(SLOW).health(10000)
    assert (health.answers, health.stalled, health.hung) == (True, False, False)
    queue_full = {"ready": False, "status": 429, "error": "HTTP 429: queue full"}
    assert not probed(queue_full).health(10000).stalled


@pytest.mark.parametrize("answer", [REFUSED, DEAD])
def test_errors_are_judged_without_counters(answer: dict[str, Any]) -> None:
    assert probed(answer).health(LIMIT + 1).hung


def test_a_limit_of_nothing_switches_it_off() -> None:
    one = HealthProbe(0, 0)
    one.completion(OK, 0)
    one.completion(DEAD, 5)
    assert not one.health(10000).stalled
