# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The recorded rules, for the names of every version of both engines: the same names with the same meaning."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import metric_names
import pytest
import yaml
from rule_files import EVERY_S, FILES

SCRAPED = 'job="engine",instance="n1:8000",deployment="d",engine_name="{engine}",head="n1",node="n1",rank="0"'
OF_MODEL = {
    "fullrank:requests_running": 3,
    "fullrank:requests_waiting": 2,
    "fullrank:kv_cache_usage": 0.25,
    "fullrank:generation_tokens:rate1m": 10,
    "fullrank:prompt_tokens:rate1m": 20,
    "fullrank:requests_finished:rate1m": 1,
    "fullrank:ttft_seconds:p50": 0.05,
    "fullrank:ttft_seconds:p95": 0.095,
    "fullrank:itl_seconds:p50": 0.01,
    "fullrank:itl_seconds:p95": 0.019,
    "fullrank:e2e_seconds:p95": 1.9,
}


def scraped(version: str) -> dict[str, str]:
    """The series of an engine of this version as Prometheus has them, for half an hour."""
    target_labels = SCRAPED.format(engine=version.partition("-")[0])
    found = {}
    for kind, name, labels, value in metric_names.series(version):
        grows = f"0+{round(value * EVERY_S, 4)}x120"
        if kind == "gauge":
            found[f"{name}{{{target_labels},{labels}}}"] = f"{value}x120"
        elif kind == "counter":
            found[f"{name}{{{target_labels},{labels}}}"] = grows
        else:
            for bound in (value, "+Inf"):
                found[f'{name}_bucket{{{target_labels},{labels},le="{bound}"}}'] = "0+15x120"
    return found


@pytest.mark.parametrize("version", metric_names.VERSIONS)
def test_every_version_gives_every_rule_the_same_values(version: str, promtool: Callable[..., Any]) -> None:
    expected = {
        f"round({name}, 0.0001)": [('{deployment="d",model_name="m"}', value)] for name, value in OF_MODEL.items()
    }
    errors = 0 if version in {"sglang-0.4.6", "sglang-0.5.5"} else 0.5  # not among their recorded names
    expected["round(fullrank:http_errors:rate5m, 0.0001)"] = [('{deployment="d"}', errors)]
    done = promtool(scraped(version), expected)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_name_that_is_missing_is_noticed(promtool: Callable[..., Any]) -> None:
    """The comparison can fail: the same engine, its queue under a name that no rule knows."""
    series = {
        name.replace("num_requests_waiting", "requests_in_queue"): values
        for name, values in scraped("vllm-0.33.0").items()
    }
    done = promtool(
        series, {"fullrank:requests_waiting": [('fullrank:requests_waiting{deployment="d",model_name="m"}', 2)]}
    )
    assert done.returncode != 0 and "fullrank:requests_waiting" in done.stdout + done.stderr


def test_two_deployments_are_two_rows(promtool: Callable[..., Any]) -> None:
    series = scraped("vllm-0.11.0")
    series |= {
        name.replace('deployment="d"', 'deployment="e"'): values for name, values in scraped("sglang-0.5.23").items()
    }
    row = 'fullrank:requests_running{{deployment="{}",model_name="m"}}'
    done = promtool(series, {"fullrank:requests_running": [(row.format("d"), 3), (row.format("e"), 3)]})
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_rule_for_engines_is_left_out() -> None:
    groups = yaml.safe_load((FILES / "rules.yml").read_text())["groups"]
    rules = {rule["record"] for group in groups if group["name"] == "fullrank-engines" for rule in group["rules"]}
    assert rules == {*OF_MODEL, "fullrank:http_errors:rate5m"}


def test_ranks_nodes_and_gpus(promtool: Callable[..., Any]) -> None:
    rank = '{{job="node",instance="n{0}:9100",node="n{0}",deployment="d",head="n1",rank="{1}"}}'
    series = {}
    for node, number, up in ((1, 0, 1), (2, 1, 0)):
        labels = rank.format(node, number)
        series |= {
            f"fullrank_rank_up{labels}": f"{up}x120",
            f"fullrank_deployment_ready{labels}": f"{up}x120",
        }
    disk = '{{job="node",node="n1",device="/dev/sda1",fstype="{}",mountpoint="{}"}}'
    for fstype, mountpoint, free in (("ext4", "/", 20), ("ext4", "/data", 20), ("tmpfs", "/run", 1)):
        series[f"node_filesystem_avail_bytes{disk.format(fstype, mountpoint)}"] = f"{free}x120"
        series[f"node_filesystem_size_bytes{disk.format(fstype, mountpoint)}"] = "100x120"
    series['node_memory_MemAvailable_bytes{job="node",node="n1"}'] = "1x120"
    series['node_memory_MemTotal_bytes{job="node",node="n1"}'] = "4x120"
    series['DCGM_FI_DEV_FB_USED{job="gpu",node="n1",gpu="0"}'] = "60x120"
    series['DCGM_FI_DEV_FB_FREE{job="gpu",node="n1",gpu="0"}'] = "20x120"
    done = promtool(
        series,
        {
            "fullrank:ranks": [('fullrank:ranks{deployment="d",head="n1"}', 2)],
            "fullrank:ranks_up": [('fullrank:ranks_up{deployment="d",head="n1"}', 1)],
            "fullrank:deployment_ready": [('fullrank:deployment_ready{deployment="d",head="n1"}', 1)],
            "fullrank:disk_free_ratio": [('fullrank:disk_free_ratio{node="n1",device="/dev/sda1"}', 0.2)],
            "fullrank:memory_free_ratio": [('fullrank:memory_free_ratio{job="node",node="n1"}', 0.25)],
            "fullrank:gpu_memory_used_ratio": [('fullrank:gpu_memory_used_ratio{job="gpu",node="n1",gpu="0"}', 0.75)],
        },
    )
    assert done.returncode == 0, done.stdout + done.stderr
