# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Prometheus is to read, from the inventory. Pure; private to this collection.

Everything follows from variables, nothing from what was found on nodes: a run on the monitoring host alone gives the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import Finding, warned
from ansible_collections.fullrank.serving.plugins.module_utils.common.host_port import host_port
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.certificates import certificate
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.endpoints import value
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.replicas import groups
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.roles import default
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.serving import serving

NODE_PORT = 9100
"""Port of node exporter (Prometheus' list of default port allocations)."""

GPU_PORT = 9400
"""Port of dcgm-exporter."""

COLONS = [
    {
        "source_labels": ["__name__"],
        "regex": "(vllm|sglang)_(.+)",
        "target_label": "__name__",
        "replacement": "$1:$2",
    }
]
"""prometheus_client from 0.23 on writes ``sglang_x`` for ``sglang:x`` to a Prometheus 2, which asks for OpenMetrics, and rules on
``sglang:x`` are silent; curl asks for text, gets the colons and misleads (prometheus/client_python issue 1177). An engine that
serves by prometheus_client's own application does so (SGLang); vLLM 0.32 answers in the older format and keeps them."""

_OWN_NAMES = {"action": "labeldrop", "regex": "(?i)hostname|DCGM_FI_PROCESS_NAME"}
"""The exporter's own name of the node, in a container that of the container; the label ``node`` has it."""


def scrape_configs(
    deployments: Mapping[str, Sequence[str]],
    nodes: Iterable[str],
    gpu_nodes: Iterable[str],
    hosts: Mapping[str, Mapping[str, Any]],
) -> list[dict[str, Any]]:
    """The jobs ``node``, ``gpu`` and ``engine``, in Prometheus' own words.

    deployments: name → hosts in rank order. nodes: hosts with a node exporter. gpu_nodes: hosts that may have a dcgm-exporter.
    hosts: host → its variables.
    """
    with_gpus = [one for one in gpu_nodes if _of(hosts, one, "monitoring_gpu_exporter") != "none"]
    jobs = [
        {"job_name": "node", "static_configs": [_machine(hosts, one, NODE_PORT) for one in nodes]},
        {
            "job_name": "gpu",
            "static_configs": [_machine(hosts, one, GPU_PORT) for one in with_gpus],
            "metric_relabel_configs": [_OWN_NAMES],
        },
        *_engine_jobs(deployments, hosts),
    ]
    return [job for job in jobs if job["static_configs"]]


def _engine_jobs(
    deployments: Mapping[str, Sequence[str]], hosts: Mapping[str, Mapping[str, Any]]
) -> Iterator[dict[str, Any]]:
    """One job, ``engine``, for all that serve plain HTTP or are known by the machine's authorities, and one more for each
    ``engine_ca_file``: Prometheus takes authorities by job. The label ``job`` is the same of all.
    """
    targets: dict[str, list[dict[str, Any]]] = {"": []}
    for name, ranks in _groups(deployments, hosts):
        head = hosts[ranks[0]]
        if _blind(head):
            continue
        tls = bool(certificate(head))
        own = targets.setdefault(str(_of(hosts, ranks[0], "engine_ca_file")) if tls else "", [])
        own += [
            {
                "targets": [host_port(_server_address(hosts, host), _of(hosts, host, "engine_port"))],
                "labels": {
                    "deployment": name,
                    "engine_name": str(head.get("engine_name", "")),
                    "head": ranks[0],
                    "node": host,
                    "rank": str(ranks.index(host)),
                    **({"__scheme__": "https"} if tls else {}),
                },
            }
            for host in serving(ranks, hosts)
        ]
    yield {"job_name": "engine", "static_configs": targets.pop(""), "metric_relabel_configs": COLONS}
    for number, (ca_file, own) in enumerate(targets.items(), 1):
        yield {
            "job_name": f"engine-tls-{number}",
            "static_configs": own,
            "tls_config": {"ca_file": ca_file},
            "relabel_configs": [{"target_label": "job", "replacement": "engine"}],
            "metric_relabel_configs": COLONS,
        }


def findings(
    deployments: Mapping[str, Sequence[str]],
    servers: Sequence[str],
    hosts: Mapping[str, Mapping[str, Any]],
) -> list[Finding]:
    """What will not be seen, although it serves. servers: the hosts of Prometheus."""
    found = []
    for name, ranks in _groups(deployments, hosts):
        head = hosts[ranks[0]]
        if missing := _blind(head):
            found.append(
                warned(
                    "engine-without-metrics",
                    f"deployment {name}",
                    missing["what"],
                    f"{missing['write']}; its ranks are watched in any case",
                )
            )
        if certificate(head) and not _of(hosts, ranks[0], "engine_ca_file"):
            found.append(
                warned(
                    "engine-certificate",
                    f"engine_ca_file of {name}",
                    "it serves https: Prometheus reads it only where its machine trusts the authority of the certificate",
                    "name the authority's file, which must lie on the hosts of monitoring",
                )
            )
        address = str(_of(hosts, ranks[0], "engine_host"))
        elsewhere = [one for one in servers if _address(hosts, one) != _address(hosts, ranks[0])]
        if address in ("127.0.0.1", "::1", "localhost") and elsewhere:
            found.append(
                warned(
                    "engine-on-loopback",
                    f"engine_host of {name}",
                    f"it serves at {address}, which Prometheus on {', '.join(elsewhere)} does not reach",
                    "let it serve at an address of the head's, or have Prometheus on the head",
                )
            )
    return found


def _groups(
    deployments: Mapping[str, Sequence[str]], hosts: Mapping[str, Mapping[str, Any]]
) -> Iterator[tuple[str, Sequence[str]]]:
    """Each group of ranks with the name of its deployment: ``engine_replicas`` of them, in the order of the hosts."""
    for name, ranks in deployments.items():
        for cut in groups(ranks, int(_of(hosts, ranks[0], "engine_replicas"))):
            yield name, cut


def _blind(head: Mapping[str, Any]) -> dict[str, str]:
    """What keeps an engine from showing metrics, and what to write; empty when nothing does."""
    args = head.get("engine_args") or {}
    if head.get("engine_name") == "sglang" and not args.get("enable_metrics"):
        return {
            "what": "SGLang has no metrics without --enable-metrics",
            "write": "write engine_args: {enable_metrics: true}",
        }
    if head.get("engine_name") == "vllm" and args.get("disable_log_stats"):
        return {
            "what": "vLLM has no metrics with --disable-log-stats",
            "write": "take disable_log_stats out of engine_args",
        }
    return {}


def _of(hosts: Mapping[str, Mapping[str, Any]], host: str, name: str) -> Any:
    if not name.startswith("monitoring_"):
        return value(hosts[host], name)
    return hosts[host].get(name, default("monitoring", name))


def _address(hosts: Mapping[str, Mapping[str, Any]], host: str) -> str:
    return str(hosts[host].get("ansible_host", host))


def _server_address(hosts: Mapping[str, Mapping[str, Any]], head: str) -> str:
    served = str(_of(hosts, head, "engine_host"))
    return _address(hosts, head) if served in ("0.0.0.0", "::") else served


def _machine(hosts: Mapping[str, Mapping[str, Any]], host: str, port: int) -> dict[str, Any]:
    return {"targets": [host_port(_address(hosts, host), port)], "labels": {"node": host}}
