# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deployments of known models on declared GPUs, judged before they start."""

from __future__ import annotations

from typing import Any

from ansible_collections.fullrank.serving.plugins.plugin_utils.plan.decide import Deployed, decide
from memory_models import model_of


def decided(
    engine: str, version: str, nodes: int, gpu: str = "H200", model: str = "deepseek-r1", **more: Any
) -> dict[str, Any]:
    hosts = [f"n{number}" for number in range(nodes)]
    nothing: list[dict[str, Any]] = [{}] * nodes
    hardware = {"gpu": gpu, "gpus_per_node": 8}
    return decide(
        Deployed(
            hosts,
            nothing,
            nothing,
            nothing,
            engine,
            engine_version=version,
            hardware=hardware,
            **({"model_info": model_of(model)} | more),
        )
    )
