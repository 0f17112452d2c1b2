# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How busy an engine is, from its Prometheus metrics. Private to this collection.

vLLM always serves ``/metrics``, SGLang with ``--enable-metrics``. Names changed over versions: vLLM 0.8 has
``gpu_cache_usage_perc`` where 0.11 has ``kv_cache_usage_perc`` (both 0 to 1). A newer prometheus_client writes ``vllm_x`` for
``vllm:x`` to those who ask for the newest format (client_python issue 1177); both are understood.
"""

from __future__ import annotations

import math
import re
import time
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common import http_client

# our names → the engines' names; sums over engines and ranks, but for a share, of which the highest counts
_SUMS = {
    "running": ("vllm:num_requests_running", "sglang:num_running_reqs"),
    "waiting": ("vllm:num_requests_waiting", "sglang:num_queue_reqs"),
    "generated": ("vllm:generation_tokens_total", "sglang:generation_tokens_total"),
}
_SHARES = {"kv_usage": ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc", "sglang:token_usage")}

# What only an engine at work moves. Counters of tokens: of what was computed. Gauges that an engine's scheduler sets in its own
# loop, with each step (vllm/v1/metrics/loggers.py, 0.32.0) or each so many batches (sglang/srt/metrics/collector.py up to 0.5.7,
# sglang/srt/observability/metrics_collector.py, 0.5.23): up to 0.5.6 SGLang counts tokens only when a request ends. What requests
# and their ends move is not among them, nor time and idleness: these move while an engine hangs (tests/unit/data/metrics).
_TOKENS = re.compile(r"[a-z_A-Z]*tokens[a-zA-Z_]*_(?:total|sum|count)")
_GAUGES = {
    "vllm_num_requests_running",
    "vllm_num_requests_waiting",
    "vllm_kv_cache_usage_perc",
    "vllm_gpu_cache_usage_perc",
    "sglang_num_running_reqs",
    "sglang_num_queue_reqs",
    "sglang_num_used_tokens",
    "sglang_token_usage",
    "sglang_gen_throughput",
    "sglang_cache_hit_rate",
    "sglang_decode_sum_seq_lens",
}

# name{labels} value [timestamp], of Prometheus' text format
_SAMPLE = re.compile(r"^([A-Za-z_:][\w:]*)(?:\{.*\})?\s+(\S+)(?:\s+-?\d+)?$")


def parse(text: str) -> dict[str, list[float]]:
    """Prometheus' text format: name, with ``_`` for ``:``, → its values over all labels. Lines that are none are left out."""
    values: dict[str, list[float]] = {}
    for line in text.splitlines():
        sample = None if line.startswith("#") else _SAMPLE.match(line)
        if sample:
            try:
                values.setdefault(sample[1].replace(":", "_"), []).append(float(sample[2]))
            except ValueError:
                continue
    return values


def summary(values: dict[str, list[float]]) -> dict[str, float | None]:
    """running and waiting (requests), generated (tokens since the start), kv_usage (0 to 1); None for what is not there."""
    found: dict[str, float | None] = {}
    for combine, table in ((sum, _SUMS), (max, _SHARES)):
        for ours, theirs in table.items():
            names = (name.replace(":", "_") for name in theirs)
            there = next((values[name] for name in names if name in values), None)
            found[ours] = float(combine(there)) if there else None
    return found


def work(values: dict[str, list[float]]) -> dict[str, list[float]]:
    """Of what `parse` returned, that which moves only while the engine works: two that differ are a sign of work. Empty where an
    engine shows no such thing."""
    signs = {name: one for name, one in values.items() if name in _GAUGES or _TOKENS.fullmatch(name)}
    return {name: sorted(value for value in one if not math.isnan(value)) for name, one in signs.items()}


def busy(first: dict[str, float | None], second: dict[str, float | None], seconds: float) -> dict[str, float | None]:
    """The second of two summaries ``seconds`` apart, with tokens_per_s instead of the count of tokens."""
    before, after = first["generated"], second["generated"]
    # an engine that was started in between counts from 0 again
    rate = (
        (after - before) / seconds
        if before is not None and after is not None and after >= before and seconds > 0
        else None
    )
    rest = {name: value for name, value in second.items() if name != "generated"}
    return rest | {"tokens_per_s": None if rate is None else round(rate, 1)}


def ask(
    url: str, api_key: str | None, timeout: float, trust: http_client.Trust = http_client.MACHINE, apart: float = 1.0
) -> dict[str, Any]:
    """Read ``url``/metrics twice, ``apart`` seconds; the result of :func:`busy`, and ``error``, empty when there was none.

    trust: for ``https``.
    """
    try:
        first, started = summary(parse(_read(url, api_key, timeout, trust))), time.monotonic()
        time.sleep(apart)
        second, seconds = summary(parse(_read(url, api_key, timeout, trust))), time.monotonic() - started
    except OSError as broken:
        return {"error": str(broken)}
    return {**busy(first, second, seconds), "error": ""}


def _read(url: str, api_key: str | None, timeout: float, trust: http_client.Trust) -> str:
    """The metrics as text. Raises OSError where they cannot be read."""
    answer = http_client.request(f"{url}/metrics", headers=http_client.bearer(api_key), timeout=timeout, trust=trust)
    if answer.status != 200 or answer.error:
        raise OSError(answer.error or f"HTTP {answer.status}")
    return answer.text
