# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is decided for all ranks of a deployment together: fabric settings and memory fit. Pure; private."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import FAIL, WARN, Finding, unique
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.files import read_catalog
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.parallelism.read import parallel
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.parallelism.resolve import (
    resolved,
    sizes_as_options,
)
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.parallelism.sizes import Parallel
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.plan import parallel_plan
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.report import memory_fit
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.env import nccl_env
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.nvlink import domain
from ansible_collections.fullrank.serving.plugins.plugin_utils.plan.declared import (
    declared_facts,
    declared_rdma,
    declares_fabric,
)

Facts = Mapping[str, Any]


@dataclass(frozen=True)
class Deployed:
    """What is known of a deployment before it starts. The lists are in rank order, one item for each of ``hosts``."""

    hosts: Sequence[str]
    rendezvous: Sequence[Facts]
    gpu_facts: Sequence[Facts]
    rdma_facts: Sequence[Facts]
    engine: str
    engine_version: str
    nccl: Facts = field(default_factory=dict)
    model_info: Facts = field(default_factory=dict)
    hardware: Facts = field(default_factory=dict)
    engine_args: Facts = field(default_factory=dict)
    tensor_parallel_size: int = 1
    pipeline_parallel_size: int = 1
    data_parallel_size: int = 1
    gpus: Sequence[int] | None = None
    fit_required: bool = True
    planning: bool = False
    """Only plan: what is declared stands in for what a node has not reported."""


def decide(deployed: Deployed) -> dict[str, Any]:
    """``nccl``, ``rdma``, ``fit``, ``proposal`` and ``findings``, as `deployment_plan` documents them."""
    nccl = _nccl(deployed)
    fit, proposal = _memory(deployed)
    findings = [*nccl.get("findings", []), *(_softened(fit.get("findings", []), deployed.fit_required))]
    return {"nccl": nccl, "rdma": _rdma(deployed), "fit": fit, "proposal": proposal, "findings": unique(findings)}


def _nccl(deployed: Deployed) -> dict[str, Any]:
    """The environment of each rank; nothing when a rank has no facts, because rails depend on all of them."""
    facts: dict[str, Facts] = {}
    for host, rdma, gpu, place in zip(
        deployed.hosts, deployed.rdma_facts, deployed.gpu_facts, deployed.rendezvous, strict=True
    ):
        if "hcas" in rdma and "gpus" in gpu:
            rendezvous = {"interface": place["interface"], "address": place["address"]}
            facts[host] = {**rdma, **gpu, "rendezvous": rendezvous}
        elif deployed.planning and declares_fabric(deployed.hardware):
            facts[host] = declared_facts(deployed.hardware, str(place.get("address") or ""))
        else:
            return {}
    return nccl_env(facts, deployed.nccl) if facts else {}


def _rdma(deployed: Deployed) -> dict[str, bool]:
    """Whether each rank's node has RDMA devices, so that its container gets them."""
    return {
        host: bool(rdma["hcas"]) if "hcas" in rdma else deployed.planning and declared_rdma(deployed.hardware)
        for host, rdma in zip(deployed.hosts, deployed.rdma_facts, strict=True)
    }


def _memory(deployed: Deployed) -> tuple[dict[str, Any], dict[str, Any]]:
    nodes: list[dict[str, Any]] = [hardware(deployed, facts) for facts in deployed.gpu_facts]
    if not deployed.model_info.get("config") or not all(node.get("gpu") for node in nodes):
        return {}, {}
    if joined := domain(deployed.gpu_facts):
        nodes = [{**node, "nvlink_domain": joined} for node in nodes]
    sizes, values = _sizes(deployed)
    same = {"engine_version": deployed.engine_version, "engine_args": values}
    smallest: dict[str, Any] = min(nodes, key=_memory_mib)
    smallest = {**smallest, "nodes": len(nodes)}
    fit = memory_fit(deployed.model_info, smallest, sizes, deployed.engine, **same)
    return fit, parallel_plan(deployed.model_info, nodes, deployed.engine, **same)


def _sizes(deployed: Deployed) -> tuple[Parallel, dict[str, Any]]:
    """The parallel sizes as the launch has them, and all options by which they came about."""
    first_class = {
        "tensor_parallel_size": deployed.tensor_parallel_size,
        "pipeline_parallel_size": deployed.pipeline_parallel_size,
        "data_parallel_size": deployed.data_parallel_size,
    }
    options = read_catalog(deployed.engine).at(deployed.engine_version)
    values = resolved(options, deployed.engine_args) | sizes_as_options(deployed.engine, first_class)
    return parallel(deployed.engine, options.version, values, len(deployed.hosts)), values


def _memory_mib(node: Mapping[str, Any]) -> int:
    return int(node.get("memory_mib") or 0)


def hardware(deployed: Deployed, facts: Facts) -> dict[str, Any]:
    """One node as the memory utils take it: its own facts, and the declared ones where it has none."""
    gpus = facts.get("gpus") or []
    if deployed.gpus is not None:
        gpus = [gpu for gpu in gpus if gpu.get("index") in deployed.gpus]
    if not gpus:
        return dict(deployed.hardware)
    seen = {
        "gpu": gpus[0].get("name"),
        "memory_mib": min((gpu.get("memory_total_mib") or 0 for gpu in gpus), default=0) or None,
        "compute_capability": gpus[0].get("compute_capability"),
        "gpus_per_node": len(gpus),
    }
    return {**deployed.hardware, **{name: value for name, value in seen.items() if value}}


def _softened(findings: Sequence[Finding], required: bool) -> list[Finding]:
    """The findings of the estimate; as warnings where the user takes the estimate's failures on himself."""
    return [one if required or one["severity"] != FAIL else {**one, "severity": WARN} for one in findings]
