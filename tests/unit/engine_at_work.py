# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An engine under load, as a health probe sees it: what its versions show of their work, and when. Made from a seed.

A `Profile` is what a version moves: at each step, each so many steps (SGLang's --decode-log-interval), at the end of a request.
Sources: sglang/srt/managers/scheduler.py (0.4.3.post2), scheduler_metrics_mixin.py and metrics/collector.py (0.5.6, 0.5.7: from
it on realtime_tokens_total), vllm/v1/metrics/loggers.py (0.32.0).
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from ansible_collections.fullrank.serving.plugins.module_utils.supervisor.health import HealthProbe

TIMED_OUT = {"ready": False, "status": 0, "error": "timed out"}
ANSWERED = {"ready": True, "status": 200, "error": ""}
INTERVAL = 40
"""SGLang's --decode-log-interval, in all these versions."""


@dataclass(frozen=True)
class Profile:
    """each_step, each_interval, each_end: names that move then. log: a line that is written at each interval; empty for none.
    check: whether it has SGLang's /health_generate, which knows of every 50th token of a request that is not streamed.
    """

    each_step: tuple[str, ...] = ()
    each_interval: tuple[str, ...] = ()
    each_end: tuple[str, ...] = ()
    log: str = ""
    check: bool = False


_ENDS = ("sglang:generation_tokens_total", "sglang:prompt_tokens_total", "sglang:num_requests_total")
_GAUGES = ("sglang:num_used_tokens", "sglang:token_usage", "sglang:gen_throughput")
_LINE = "[2026-12-01 10:00:00] Decode batch{} #running-req: 9, #token: 3141, token usage: 0.04"
PROFILES = {
    "vllm 0.32.0": Profile(
        each_step=("vllm:generation_tokens_total", "vllm:kv_cache_usage_perc", "vllm:iteration_tokens_total_sum"),
        each_end=("vllm:request_success_total", "vllm:prompt_tokens_total"),
        log="(APIServer pid=1) INFO 12-01 10:12:10 [loggers.py:282] Engine 000: Avg prompt throughput: 0.0 tokens/s, "
        "Avg generation throughput: 9.9 tokens/s, Running: 4 reqs",
    ),
    "sglang 0.4.3.post2": Profile(each_interval=_GAUGES, each_end=_ENDS, log=_LINE.format(".")),
    "sglang 0.5.6": Profile(each_interval=_GAUGES, each_end=_ENDS, log=_LINE.format(","), check=True),
    "sglang 0.5.23": Profile(
        each_interval=(*_GAUGES, "sglang:realtime_tokens_total"), each_end=_ENDS, log=_LINE.format(","), check=True
    ),
}


@dataclass
class EngineAtWork:
    """A queue that is always full, answers of ``length`` tokens that all begin together, a step of ``step_s``. Without a
    completion for anybody else until ``hangs_at``; from then on nothing at all, but clients come and go."""

    profile: Profile
    step_s: float
    length: int
    hangs_at: float
    steps: int = 0
    clients: int = 0
    values: dict[str, float] = field(default_factory=dict)
    logged_at: float = -100.0
    checked_at: float = -100.0

    def run_to(self, now: float) -> None:
        self.clients += 1  # their requests and aborts are counted by the server, whatever the engine does
        for name in (*self.profile.each_step, *self.profile.each_interval, *self.profile.each_end):
            self.values.setdefault(name, 1.0)
        while (self.steps + 1) * self.step_s <= min(now, self.hangs_at):
            self.steps += 1
            at = self.steps * self.step_s
            moved = list(self.profile.each_step)
            if self.steps % INTERVAL == 0:
                moved += self.profile.each_interval
                self.logged_at = at
            if self.steps % 50 == 0 or self.steps % self.length == 0:
                self.checked_at = at
            if self.steps % self.length == 0:
                moved += self.profile.each_end
            for name in moved:
                self.values[name] = float(self.steps)

    def metrics(self) -> str:
        lines = [f'{name}{{model_name="m"}} {value}' for name, value in self.values.items()]
        moving = ("http_requests_total", "process_cpu_seconds_total", "sglang:num_aborted_requests_total")
        lines += [f"{name} {self.clients}" for name in moving]
        return "\n".join(lines) + "\n"

    def log(self, now: float, seconds: float) -> str:
        return f"{self.profile.log}\n" if now - self.logged_at <= seconds else "INFO: POST /v1/completions\n"


def watch(engine: EngineAtWork, limit: float, until: float) -> tuple[float | None, float | None]:
    """When the probe first called the engine stalled, and when hung; None for never. It is asked as the agent asks."""
    probe = HealthProbe(limit, 0)
    probe.completion(ANSWERED, 0)
    stalled = hung = None
    for second in range(int(until)):
        now = float(second)
        engine.run_to(now)
        if second % 11 == 10:
            probe.completion(TIMED_OUT, now)
        if second % 3 == 0:
            probe.metrics(engine.metrics(), now)
        if second % 5 == 0 and probe.is_quiet(now):
            probe.logged(engine.log(now, 10), now)
            if probe.is_quiet(now):
                probe.own_check(200 if engine.profile.check and now - engine.checked_at < 20 else 404, now)
        health = probe.health(now)
        if health.stalled and stalled is None:
            stalled = now
        if health.hung:
            hung = now
            break
    return stalled, hung


def story(seed: int, limit: float) -> EngineAtWork:
    """An engine that would answer at some time: its slowest sign, each INTERVAL steps, comes once in the limit at least."""
    dice = random.Random(seed)
    step = dice.uniform(0.005, (limit - 15) / INTERVAL)
    return EngineAtWork(
        profile=PROFILES[dice.choice(sorted(PROFILES))],
        step_s=step,
        length=dice.choice((64, 1024, 32768)),
        hangs_at=dice.choice((1e9, dice.uniform(20, 3000))),
    )
