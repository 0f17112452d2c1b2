# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each alert fires when it should, and is silent when it should not: by promtool, which evaluates rules as Prometheus does."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import yaml
from rule_files import FILES

RANK = 'job="node",instance="n1:9100",node="n1",deployment="d",head="n1",rank="0"'
GPU = 'job="gpu",instance="n1:9400",node="n1",gpu="0",UUID="GPU-1"'
ENGINE = 'job="engine",instance="n1:8000",node="n1",deployment="d",engine_name="vllm",head="n1",rank="0",model_name="m"'
DISK = 'job="node",node="n1",device="/dev/sda1",fstype="ext4",mountpoint="/"'
PROBE = 'job="probe",instance="https://chat.example"'
DAY = 86400


class Case(NamedTuple):
    """Series that are there in any case, and what of them makes the alert fire and what does not. 40 samples are 10 minutes."""

    always: dict[str, str]
    fires: dict[str, str]
    silent: dict[str, str]


def rank(name: str, values: str) -> dict[str, str]:
    return {f"fullrank_{name}{{{RANK}}}": values}


WANTED = rank("rank_wanted", "1x120")
WAITING = f"vllm:num_requests_waiting{{{ENGINE}}}"
XID, UP = f"DCGM_FI_DEV_XID_ERRORS{{{GPU}}}", 'up{job="node",instance="n1:9100",node="n1"}'
SIZE, FREE = f"node_filesystem_size_bytes{{{DISK}}}", f"node_filesystem_avail_bytes{{{DISK}}}"
UNTIL, EPOCH = f"probe_ssl_earliest_cert_expiry{{{PROBE}}}", f"fullrank_rank_epoch{{{RANK}}}"

CASES: dict[str, list[Case]] = {
    "DeploymentNotReady": [
        Case(WANTED, rank("deployment_ready", "1x40 0x80"), rank("deployment_ready", "0x70 1x50")),
    ],
    "RankDown": [
        Case(WANTED, rank("rank_up", "1x77 0x3"), rank("rank_up", "1x70 0 1x49")),
    ],
    "SupervisorSilent": [Case(WANTED, rank("supervisor_up", "1x40 0x80"), rank("supervisor_up", "1x120"))],
    "DeploymentRestarts": [
        Case({}, {EPOCH: "1x10 2x10 3x10 4x10 5x80"}, {EPOCH: "1x10 2x10 3x100"}),
    ],
    "RankStateStale": [
        Case(
            {},
            {'node_textfile_mtime_seconds{job="node",node="n1",file="/x/fullrank.prom"}': "0+15x40 600x80"},
            {'node_textfile_mtime_seconds{job="node",node="n1",file="/x/fullrank.prom"}': "0+15x120"},
        )
    ],
    "EngineMetricsMissing": [
        Case({f"up{{{ENGINE}}}": "1x40 0x80"}, rank("deployment_ready", "1x120"), rank("deployment_ready", "0x120"))
    ],
    "QueueGrowing": [
        Case({}, {WAITING: "0+1x120"}, {WAITING: "50x120"}),
        Case({}, {WAITING: "20+1x120"}, {WAITING: "0+0.1x120"}),
    ],
    "KVCacheFull": [
        Case(
            {},
            {f"vllm:kv_cache_usage_perc{{{ENGINE}}}": "0.97x120"},
            {f"vllm:kv_cache_usage_perc{{{ENGINE}}}": "0.9x120"},
        ),
        Case(
            {},
            {f"sglang:token_usage{{{ENGINE}}}": "0.99x120"},
            {f"sglang:token_usage{{{ENGINE}}}": "0.5x40 0.99x10 0.5x70"},
        ),
    ],
    "EngineErrors": [
        Case(
            {},
            {f'http_requests_total{{{ENGINE},status="5xx"}}': "0+3x120"},
            {f'http_requests_total{{{ENGINE},status="4xx"}}': "0+3x120"},
        )
    ],
    "GpuXidHardware": [
        *(Case({}, {XID: f"0x40 {number}x80"}, {XID: "0x120"}) for number in (48, 64, 74, 79, 95, 119, 120)),
        Case({}, {XID: "79x120"}, {XID: "31x120"}),
    ],
    "GpuXid": [
        Case({}, {XID: "0x60 31x60"}, {XID: "31x120"}),  # fires once, and not for ever
        Case({}, {XID: "13x60 94x60"}, {XID: "0x60 79x60"}),  # 79 fires the other alert
    ],
    "GpuEccErrors": [
        Case(
            {},
            {f"DCGM_FI_DEV_ECC_DBE_VOL_TOTAL{{{GPU}}}": "0x40 1x80"},
            {f"DCGM_FI_DEV_ECC_DBE_VOL_TOTAL{{{GPU}}}": "4x120"},
        ),
        Case(
            {},
            {f"DCGM_FI_DEV_ROW_REMAP_FAILURE{{{GPU}}}": "1x120"},
            {f"DCGM_FI_DEV_ROW_REMAP_FAILURE{{{GPU}}}": "0x120"},
        ),
    ],
    "GpuThrottledByHeat": [
        Case(
            {},
            {f"DCGM_FI_DEV_THERMAL_VIOLATION{{{GPU}}}": "0+1000x120"},
            {f"DCGM_FI_DEV_THERMAL_VIOLATION{{{GPU}}}": "9000x120"},
        )
    ],
    "GpuMetricsMissing": [
        Case({f"up{{{GPU}}}": "0x120"}, {UP: "1x120"}, {UP: "0x120"}),  # a node that is down fires NodeDown
    ],
    "NodeDown": [Case({}, {UP: "1x40 0x80"}, {UP: "1x40 0x2 1x78"})],
    "DiskFilling": [
        Case({SIZE: "100x120"}, {FREE: "4x120"}, {FREE: "19x120"}),
        Case({SIZE: "100x120"}, {FREE: "19-0.01x120"}, {FREE: "60-0.01x120"}),
    ],
    "EndpointClosed": [Case({}, {f"probe_success{{{PROBE}}}": "0x120"}, {f"probe_success{{{PROBE}}}": "1x120"})],
    "CertificateExpires": [Case({}, {UNTIL: f"{13 * DAY}x120"}, {UNTIL: f"{20 * DAY}x120"})],
    "TargetDown": [
        Case({}, {'up{job="router",instance="r:29000"}': "0x120"}, {'up{job="engine",instance="r:29000"}': "0x120"}),
    ],
}


def alerts() -> dict[str, dict[str, Any]]:
    groups = yaml.safe_load((FILES / "alerts.yml").read_text())["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


def test_every_alert_is_tested() -> None:
    assert set(CASES) == set(alerts())


@pytest.mark.parametrize(("name", "case"), [(name, case) for name, cases in CASES.items() for case in cases])
def test_an_alert_fires_when_it_should_and_only_then(name: str, case: Case, promtool: Callable[..., Any]) -> None:
    firing = f'count(ALERTS{{alertname="{name}",alertstate="firing"}})'
    done = promtool(case.always | case.fires, {firing: [("{}", 1)]})
    assert done.returncode == 0, f"does not fire: {done.stdout}{done.stderr}"
    done = promtool(case.always | case.silent, {firing: []})
    assert done.returncode == 0, f"fires: {done.stdout}{done.stderr}"


@pytest.mark.parametrize("name", ["DeploymentNotReady", "RankDown", "SupervisorSilent"])
def test_what_the_operator_has_stopped_is_no_alert(name: str, promtool: Callable[..., Any]) -> None:
    (case,) = CASES[name]
    firing = f'ALERTS{{alertname="{name}"}}'
    done = promtool(rank("rank_wanted", "0x120") | case.fires, {firing: []})
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", alerts())
def test_an_alert_states_what_why_and_what_to_do(name: str) -> None:
    annotations = alerts()[name]["annotations"]
    assert set(annotations) == {"summary", "cause", "remedy"}
    assert alerts()[name]["labels"]["severity"] in ("critical", "warning")
    assert all(len(text) > 20 for text in annotations.values())


def test_labels_in_texts_are_those_of_the_expression(promtool: Callable[..., Any]) -> None:
    """A label that the expression does not give would leave a hole in the text."""
    for name, rule in alerts().items():
        used = set(re.findall(r"\$labels\.(\w+)", " ".join(rule["annotations"].values())))
        case = CASES[name][0]
        filled = ",".join(f'{label}!=""' for label in sorted(used))
        firing = f'count(ALERTS{{alertname="{name}",alertstate="firing",{filled}}})'
        done = promtool(case.always | case.fires, {firing: [("{}", 1)]})
        assert done.returncode == 0, f"{name}: {done.stdout}{done.stderr}"
