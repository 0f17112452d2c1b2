# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Metrics with the recorded names of an engine's version: as input of promtool's tests, and as text that an exporter serves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

NAMES = Path(__file__).parent / "names"
VERSIONS = sorted(path.stem for path in NAMES.glob("*.txt"))

# What the rules read, without the engine's prefix and the counters' ending: a gauge's value, a counter's growth per second, or
# the upper bound of the one bucket of a histogram in which everything lies that is observed.
GAUGES = {
    "num_requests_running": 3,
    "num_running_reqs": 3,
    "num_requests_waiting": 2,
    "num_queue_reqs": 2,
    "kv_cache_usage_perc": 0.25,
    "gpu_cache_usage_perc": 0.25,
    "token_usage": 0.25,
}
COUNTERS = {
    "generation_tokens": 10,
    "prompt_tokens": 20,
    "request_success": 1,
    "num_requests": 1,
    "http_responses": 0.5,
}
HISTOGRAMS = {
    "time_to_first_token_seconds": 0.1,
    "inter_token_latency_seconds": 0.02,
    "time_per_output_token_seconds": 0.02,
    "e2e_request_latency_seconds": 2,
}
OF_HTTP = 'endpoint="/v1/chat/completions",status_code="500",method="POST"'


def names(version: str) -> list[str]:
    return (NAMES / f"{version}.txt").read_text().split()


def labels(engine: str, bare: str) -> list[str]:
    """The label sets with which an engine exposes a metric; SGLang's scheduler as with --enable-metrics-for-all-schedulers."""
    if engine == "vllm":
        return ['model_name="m",engine="0"']
    if bare == "http_responses":
        return [OF_HTTP]
    if bare in ("num_running_reqs", "num_queue_reqs", "token_usage"):
        return [f'model_name="m",engine_type="unified",tp_rank="{rank}",pp_rank="0",moe_ep_rank="0"' for rank in (0, 1)]
    return ['model_name="m"']


def series(version: str) -> Iterator[tuple[str, str, str, float]]:
    """Each series that the rules can read: its kind, name, labels and value."""
    engine = version.partition("-")[0]
    for name in dict.fromkeys(one.removesuffix("_total") for one in names(version)):
        bare = name.partition(":")[2]
        for label_set in labels(engine, bare):
            if bare in GAUGES:
                yield "gauge", name, label_set, GAUGES[bare]
            elif bare in COUNTERS:
                yield "counter", f"{name}_total", label_set, COUNTERS[bare]
            elif bare in HISTOGRAMS:
                yield "histogram", name, label_set, HISTOGRAMS[bare]
    if engine == "vllm":  # of prometheus_fastapi_instrumentator, not of vLLM's own loggers
        yield "counter", "http_requests_total", 'handler="/v1/chat/completions",method="POST",status="5xx"', 0.5


def exposition(version: str) -> str:
    """Prometheus' text format. Counters are 0 here; `tests/standins/serve_metrics.py` lets them grow."""
    lines = []
    for kind, name, label_set, value in series(version):
        lines.append(f"# TYPE {name} {kind}")
        if kind == "histogram":
            lines += [f'{name}_bucket{{{label_set},le="{bound}"}} 0' for bound in (value, "+Inf")]
            lines += [f"{name}_sum{{{label_set}}} 0", f"{name}_count{{{label_set}}} 0"]
        else:
            lines.append(f"{name}{{{label_set}}} {value if kind == 'gauge' else 0}")
    return "\n".join(dict.fromkeys(lines)) + "\n"
