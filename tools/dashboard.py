#!/usr/bin/env python3
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The dashboard of Grafana: the questions of an operator, as a table of panels.

    python -m tools.dashboard          writes roles/monitoring/files/dashboard.json

Its queries are of the recorded rules wherever these have an answer, so that they are the same for every engine. A test compares
what is written with what is committed; others read it with Grafana's Foundation SDK and ask its queries of a real Prometheus.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FILE = Path(__file__).resolve().parents[1] / "roles/monitoring/files/dashboard.json"
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH = 24
OF_DEPLOYMENT = 'deployment=~"$deployment"'
OF_NODE = 'node=~"$node"'
WIRE = 'sum by (node) (rate(node_network_{}_bytes_total{{device!="lo", node=~"$node"}}[$__rate_interval]))'

GREEN_IS_1 = [
    {"type": "value", "options": {"1": {"text": "answers", "color": "green", "index": 0}}},
    {"type": "value", "options": {"0": {"text": "does not answer", "color": "red", "index": 1}}},
]


def query(expression: str, legend: str = "", ref: str = "A", instant: bool = False) -> dict[str, Any]:
    kind: dict[str, Any] = {"instant": True, "range": False, "format": "table"} if instant else {"range": True}
    return {"datasource": SOURCE, "expr": expression, "legendFormat": legend, "refId": ref, **kind}


def panel(kind: str, title: str, targets: list[dict[str, Any]], unit: str = "short", **more: Any) -> dict[str, Any]:
    """A panel without its place; ``description``: what a bad value means."""
    defaults = {"unit": unit, **more.pop("defaults", {})}
    field = {"defaults": defaults, "overrides": more.pop("overrides", [])}
    return {"type": kind, "title": title, "datasource": SOURCE, "targets": targets, "fieldConfig": field, **more}


def steps(*of: tuple[float | None, str]) -> dict[str, Any]:
    """Thresholds: from which value on which colour."""
    return {
        "thresholds": {"mode": "absolute", "steps": [{"value": value, "color": color} for value, color in of]},
        "color": {"mode": "thresholds"},
    }


def stat(title: str, expression: str, legend: str, defaults: dict[str, Any], description: str) -> dict[str, Any]:
    shown = {
        "reduceOptions": {"calcs": ["lastNotNull"], "values": False},
        "colorMode": "background",
        "textMode": "auto",
    }
    return panel("stat", title, [query(expression, legend)], defaults=defaults, options=shown, description=description)


def lines(title: str, queries: list[tuple[str, str]], unit: str, description: str, **defaults: Any) -> dict[str, Any]:
    targets = [query(expression, legend, chr(ord("A") + number)) for number, (expression, legend) in enumerate(queries)]
    shown = {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi", "sort": "desc"}}
    return panel("timeseries", title, targets, unit, defaults=defaults, options=shown, description=description)


def table(title: str, expression: str, hidden: list[str], description: str) -> dict[str, Any]:
    organize = {"id": "organize", "options": {"excludeByName": dict.fromkeys(["Time", *hidden], True)}}
    return panel("table", title, [query(expression, instant=True)], transformations=[organize], description=description)


ROWS: list[tuple[int, list[tuple[int, dict[str, Any]]]]] = [
    # height of the row, and its panels with their widths
    (
        5,
        [
            (
                8,
                stat(
                    "Are all deployments answering?",
                    f"fullrank:deployment_ready{{{OF_DEPLOYMENT}}}",
                    "{{deployment}} {{head}}",
                    {"mappings": GREEN_IS_1},
                    "1: the last completion was answered, with all ranks in the group. Stopped deployments do not answer either.",
                ),
            ),
            (
                4,
                stat(
                    "Ranks that do not run",
                    f"fullrank:ranks{{{OF_DEPLOYMENT}}} - fullrank:ranks_up{{{OF_DEPLOYMENT}}}",
                    "{{deployment}} {{head}}",
                    steps((None, "green"), (1, "red")),
                    "One lost rank takes its whole group down for the time that a start takes.",
                ),
            ),
            (
                4,
                stat(
                    "Nodes that do not answer",
                    'sum(up{job="node"} == bool 0)',
                    "nodes",
                    steps((None, "green"), (1, "red")),
                    "Off, booting, or out of reach.",
                ),
            ),
            (
                4,
                stat(
                    "GPUs in trouble",
                    'count(count by (node, gpu) (ALERTS{alertname=~"Gpu.*", alertstate="firing", gpu!=""})) or vector(0)',
                    "GPUs",
                    steps((None, "green"), (1, "red")),
                    "GPUs with an XID, memory errors or heat; the table of alerts names it.",
                ),
            ),
            (
                4,
                stat(
                    "Alerts",
                    'count(ALERTS{alertstate="firing"}) or vector(0)',
                    "alerts",
                    steps((None, "green"), (1, "orange")),
                    "All of them, listed below with where they are.",
                ),
            ),
        ],
    ),
    (
        7,
        [
            (
                16,
                table(
                    "What is wrong, and where",
                    'max by (severity, alertname, deployment, rank, node, gpu, instance) (ALERTS{alertstate="firing"})',
                    ["Value"],
                    "Cause and remedy of each alert: Prometheus, page Alerts.",
                ),
            ),
            (
                8,
                lines(
                    "Requests that failed",
                    [(f"fullrank:http_errors:rate5m{{{OF_DEPLOYMENT}}}", "{{deployment}}")],
                    "reqps",
                    "Answers with a status of 500 and above, per second.",
                    min=0,
                ),
            ),
        ],
    ),
    (
        8,
        [
            (
                8,
                lines(
                    "Time to the first token",
                    [
                        (f"fullrank:ttft_seconds:p50{{{OF_DEPLOYMENT}}}", "{{deployment}} half"),
                        (f"fullrank:ttft_seconds:p95{{{OF_DEPLOYMENT}}}", "{{deployment}} 95 %"),
                    ],
                    "s",
                    "Grows with the queue and with the length of prompts.",
                    min=0,
                ),
            ),
            (
                8,
                lines(
                    "Time between tokens",
                    [
                        (f"fullrank:itl_seconds:p50{{{OF_DEPLOYMENT}}}", "{{deployment}} half"),
                        (f"fullrank:itl_seconds:p95{{{OF_DEPLOYMENT}}}", "{{deployment}} 95 %"),
                    ],
                    "s",
                    "Grows with the number of requests that run at once, and with a slow GPU or link.",
                    min=0,
                ),
            ),
            (
                8,
                lines(
                    "Tokens per second",
                    [
                        (f"fullrank:generation_tokens:rate1m{{{OF_DEPLOYMENT}}}", "{{deployment}} written"),
                        (f"fullrank:prompt_tokens:rate1m{{{OF_DEPLOYMENT}}}", "{{deployment}} read"),
                    ],
                    "short",
                    "What all requests get together.",
                    min=0,
                ),
            ),
        ],
    ),
    (
        8,
        [
            (
                8,
                lines(
                    "Queue",
                    [
                        (f"fullrank:requests_waiting{{{OF_DEPLOYMENT}}}", "{{deployment}} wait"),
                        (f"fullrank:requests_running{{{OF_DEPLOYMENT}}}", "{{deployment}} run"),
                    ],
                    "short",
                    "A queue that only grows is more than the deployment can serve.",
                    min=0,
                ),
            ),
            (
                8,
                lines(
                    "KV cache in use",
                    [(f"fullrank:kv_cache_usage{{{OF_DEPLOYMENT}}}", "{{deployment}}")],
                    "percentunit",
                    "Full, requests are sent back to the queue and computed again.",
                    min=0,
                    max=1,
                ),
            ),
            (
                8,
                lines(
                    "Whole requests",
                    [
                        (f"fullrank:e2e_seconds:p95{{{OF_DEPLOYMENT}}}", "{{deployment}} seconds, 95 %"),
                        (f"fullrank:requests_finished:rate1m{{{OF_DEPLOYMENT}}}", "{{deployment}} finished per second"),
                    ],
                    "short",
                    "From the request to its last token.",
                    min=0,
                ),
            ),
        ],
    ),
    (
        8,
        [
            (
                6,
                lines(
                    "GPU utilization",
                    [(f"DCGM_FI_DEV_GPU_UTIL{{{OF_NODE}}}", "{{node}} {{gpu}}")],
                    "percent",
                    "One GPU that works while the others of its deployment wait is the slow one.",
                    min=0,
                    max=100,
                ),
            ),
            (
                6,
                lines(
                    "GPU memory in use",
                    [(f"fullrank:gpu_memory_used_ratio{{{OF_NODE}}}", "{{node}} {{gpu}}")],
                    "percentunit",
                    "Constant while an engine runs; 0 on a node whose rank is gone.",
                    min=0,
                    max=1,
                ),
            ),
            (
                6,
                lines(
                    "GPU temperature",
                    [(f"DCGM_FI_DEV_GPU_TEMP{{{OF_NODE}}}", "{{node}} {{gpu}}")],
                    "celsius",
                    "A GPU that is slowed down by heat slows all ranks down.",
                ),
            ),
            (
                6,
                lines(
                    "Last XID of each GPU",
                    [(f"DCGM_FI_DEV_XID_ERRORS{{{OF_NODE}}}", "{{node}} {{gpu}}")],
                    "short",
                    "0 is none. NVIDIA's list of XIDs explains a number.",
                    min=0,
                ),
            ),
        ],
    ),
    (
        8,
        [
            (
                8,
                lines(
                    "CPU in use",
                    [
                        (
                            f'1 - avg by (node) (rate(node_cpu_seconds_total{{mode="idle", {OF_NODE}}}[$__rate_interval]))',
                            "{{node}}",
                        )
                    ],
                    "percentunit",
                    "Tokenizers and schedulers run here.",
                    min=0,
                    max=1,
                ),
            ),
            (
                8,
                lines(
                    "Free: memory and the fullest disk",
                    [
                        (f"fullrank:memory_free_ratio{{{OF_NODE}}}", "{{node}} memory"),
                        (f"min by (node) (fullrank:disk_free_ratio{{{OF_NODE}}})", "{{node}} disk"),
                    ],
                    "percentunit",
                    "Of the disks the one with the least space.",
                    min=0,
                    max=1,
                ),
            ),
            (
                8,
                lines(
                    "Network",
                    [
                        (WIRE.format("receive"), "{{node}} in"),
                        (WIRE.format("transmit"), "{{node}} out"),
                    ],
                    "Bps",
                    "Without what RDMA carries past the kernel.",
                    min=0,
                ),
            ),
        ],
    ),
]


def variable(name: str, label: str, metric: str) -> dict[str, Any]:
    return {
        "type": "query",
        "name": name,
        "label": label,
        "datasource": SOURCE,
        "query": f"label_values({metric}, {name})",
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "current": {"text": "All", "value": "$__all"},
    }


def placed() -> list[dict[str, Any]]:
    """The panels at their places, row by row."""
    panels: list[dict[str, Any]] = []
    y = 0
    for height, row in ROWS:
        x = 0
        for width, one in row:
            panels.append({"id": len(panels) + 1, "gridPos": {"x": x, "y": y, "w": width, "h": height}, **one})
            x += width
        assert x == WIDTH, f"the row at {y} is {x} wide"
        y += height
    return panels


def dashboard() -> dict[str, Any]:
    return {
        "uid": "fullrank",
        "title": "Deployments",
        "tags": ["llm", "fullrank"],
        "schemaVersion": 39,
        "editable": False,
        "refresh": "15s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {
            "list": [
                {
                    "type": "datasource",
                    "name": "datasource",
                    "label": "Prometheus",
                    "query": "prometheus",
                    "current": {"text": "fullrank", "value": "fullrank"},
                },
                variable("deployment", "Deployment", "fullrank:deployment_ready"),
                variable("node", "Node", 'up{job="node"}'),
            ]
        },
        "panels": placed(),
    }


def text() -> str:
    return json.dumps(dashboard(), indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    FILE.write_text(text())
