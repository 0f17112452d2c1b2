# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What all ranks of a replica must have alike. Pure; private to this collection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import Finding, failed
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.shape import Deployment, Where, named

EQUAL = (
    "engine_name",
    "engine_version",
    "engine_model",
    "engine_served_model_name",
    "engine_executor",
    "engine_device",
    "engine_dtype",
    "engine_quantization",
    "engine_task",
    "engine_tensor_parallel_size",
    "engine_pipeline_parallel_size",
    "engine_data_parallel_size",
    "engine_port",
    "engine_rendezvous_port",
    "engine_group_port",
)
"""Each rank is rendered from the variables of its own host, and all of them make one engine (issue 26, 3). What may differ from
node to node is not here: devices, environment, paths of programs, image names of a near registry."""


def check(
    deployment: Deployment,
    cut: Sequence[Sequence[str]],
    variables: Mapping[str, Mapping[str, Any]],
    below: Mapping[str, Sequence[str]],
    where: Where = named,
) -> list[Finding]:
    """Ranks of one replica that differ. variables: host → those that are set and known. below: groups below the deployment's
    own → hosts."""
    findings = []
    for ranks in cut:
        for name in EQUAL:
            values = {host: variables.get(host, {}).get(name) for host in ranks}
            if len({repr(value) for value in values.values() if value is not None}) > 1:
                findings.append(_differ(deployment, name, values, below, where))
    return findings


def _differ(
    deployment: Deployment,
    name: str,
    values: Mapping[str, Any],
    below: Mapping[str, Sequence[str]],
    where: Where,
) -> Finding:
    shown = [f"{value} on {host}" for host, value in values.items() if value is not None]
    remedy = f"write it once, for group {deployment.name}"
    models = [group for group, hosts in below.items() if hosts]
    if len(models) > 1:
        remedy += (
            f"; where {', '.join(models)} are models of their own, make each a child group of deployments: "
            f"{deployment.name} is one deployment of all its hosts"
        )
    host = next(host for host, value in values.items() if value is not None)
    return failed(
        "ranks-differ",
        where(host, name, deployment.name),
        f"it differs between ranks of one replica: {', '.join(shown[:4])}",
        remedy,
        variable=name,
    )
