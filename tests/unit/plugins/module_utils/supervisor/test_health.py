# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Busy or hung: what may be concluded from an endpoint that does not answer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.supervisor.health import STALLED_PART, HealthProbe
from engine_at_work import PROFILES, EngineAtWork, Profile, story, watch

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
    assert "no answer and no sign of work for 121 s" in one.health(LIMIT + 1).summary


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


@pytest.mark.parametrize("limit", [60, 120, 600])
def test_an_engine_that_would_answer_is_never_killed_and_one_that_hangs_is_noticed(limit: float) -> None:
    for seed in range(60):
        engine = story(seed, limit)
        until = min(engine.hangs_at, 4000) + 2 * limit
        stalled, hung = watch(engine, limit, until)
        if engine.hangs_at > until:
            assert hung is None, (seed, engine.profile)
        else:
            last_sign = engine.hangs_at + 10 + 25  # of the log, of its own check
            assert hung is not None and hung - last_sign <= limit + 11, (seed, engine.profile)
            assert hung >= engine.hangs_at and stalled is not None and stalled < hung


def test_a_full_queue_of_long_answers_was_killed() -> None:
    """SGLang 0.5.6, 0.2 s a step, answers of 32k tokens: its counters of tokens stand for an hour and a half."""
    engine = EngineAtWork(PROFILES["sglang 0.5.6"], step_s=0.2, length=32768, hangs_at=1e9)
    assert watch(engine, LIMIT, 7000) == (None, None)
    only_ends = Profile(each_end=PROFILES["sglang 0.5.6"].each_end)
    stalled, hung = watch(EngineAtWork(only_ends, step_s=0.2, length=32768, hangs_at=1e9), LIMIT, 7000)
    assert stalled is not None and hung is not None and stalled < 40 and hung < 130


@pytest.mark.parametrize("version", ["sglang 0.5.6", "vllm 0.32.0"])
def test_each_sign_alone_is_enough(version: str) -> None:
    whole = PROFILES[version]
    alone = [Profile(each_step=whole.each_step, each_interval=whole.each_interval), Profile(log=whole.log)]
    alone += [Profile(check=True)] if whole.check else []
    for one in alone:
        shown = replace(one, each_end=whole.each_end)
        assert watch(EngineAtWork(shown, step_s=0.2, length=32768, hangs_at=1e9), LIMIT, 3000) == (None, None)
        assert watch(EngineAtWork(shown, step_s=0.2, length=32768, hangs_at=500), LIMIT, 3000)[1] is not None


def test_more_signs_are_looked_for_only_while_nothing_is_answered_and_nothing_moves() -> None:
    one = HealthProbe(LIMIT, 0)
    one.completion(OK, 0)
    assert not one.is_quiet(LIMIT)
    one.completion(DEAD, LIMIT)  # it answers, so its own check may be fine for ever
    assert not one.is_quiet(LIMIT)
    one.completion(SLOW, LIMIT)
    assert one.is_quiet(LIMIT)
    one.logged("[2026-12-01 10:00:00] Prefill batch, #new-seq: 1", LIMIT)
    assert not one.is_quiet(LIMIT + 1)
    assert not HealthProbe(0, 0).is_quiet(1000)
