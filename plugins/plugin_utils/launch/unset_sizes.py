# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What to write where no parallel size is set: the sizes that the memory plan chooses, where model and GPUs are declared."""

from __future__ import annotations

from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.engines.request import Request
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.parallelism.sizes import Parallel
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.plan import parallel_plan

FIRST_CLASS = {
    "tensor_parallel_size": "tensor_parallel_size",
    "pipeline_parallel_size": "pipeline_parallel_size",
    "data_parallel_size": "data_parallel_size",
    "tp": "tensor_parallel_size",
    "dp": "data_parallel_size",
}
"""Option of an engine → option of a launch; other options are written in ``engine_args``."""


def proposal(request: Request, sizes: Parallel) -> str:
    """The variables that the plan would set, in words; empty where sizes are set, nothing is declared or nothing fits."""
    if sizes.gpus > 1 or not request.model_info.get("config") or not request.hardware.get("gpu"):
        return ""
    gpus = request.usable_gpus or request.hardware.get("gpus_per_node")
    nodes = {**request.hardware, "nodes": request.nnodes, **({"gpus_per_node": gpus} if gpus else {})}
    plan = parallel_plan(
        request.model_info,
        nodes,
        request.engine,
        engine_version=request.engine_version,
        engine_args=dict(request.engine_args),
    )
    if not plan["ok"] or plan["idle_nodes"]:
        return ""
    others = {name: value for name, value in plan["engine_args"].items() if name not in FIRST_CLASS}
    written = [
        f"{request.variable(FIRST_CLASS[name])}: {value}"
        for name, value in plan["engine_args"].items()
        if name in FIRST_CLASS
    ]
    written += [f"{request.variable('engine_args')}: {others}"] if others else []
    if plan["replicas"] > 1:
        written.append(f"{plan['replicas']} replicas of {plan['nodes_per_replica']} nodes")
    converted = ", with weights converted to BF16" if plan["dtype"] else ""
    return f"no size is set; the memory plan chooses {' and '.join(written)}{converted}" if written else ""
