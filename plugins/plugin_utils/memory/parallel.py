# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parallel sizes, and how they divide a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.values import at_least_one, mapping


@dataclass(frozen=True)
class Parallel:
    """Parallel sizes in the words of the engines.

    Without ``dp_attention``, ``dp`` copies of a ``tp`` x ``pp`` group run side by side (vLLM's data parallel). With it
    (SGLang's ``enable_dp_attention``) the ``dp`` attention groups lie inside ``tp`` and share the experts.
    """

    tp: int = 1
    pp: int = 1
    dp: int = 1
    ep: int = 1
    dp_attention: bool = False
    experts_over_dp: bool = False
    """vLLM: the experts of all data parallel copies form one group of ``tp`` x ``dp`` GPUs, whether tensor or expert
    parallel (its docs/serving/data_parallel_deployment.md)."""

    @property
    def gpus(self) -> int:
        """GPUs of the whole deployment."""
        return self.tp * self.pp * (1 if self.dp_attention else self.dp)

    @property
    def attention_tp(self) -> int:
        """GPUs that share one attention block."""
        return max(1, self.tp // self.dp) if self.dp_attention else self.tp

    @property
    def expert_shards(self) -> int:
        """GPUs that share the routed experts of a layer."""
        return self.tp * self.dp if self.experts_over_dp else max(self.tp, self.ep)


def parallel(sizes: Any, engine: str = "") -> Parallel:
    """Read ``{tp, pp, dp, ep, dp_attention}`` for ``engine``; what is missing or senseless is 1."""
    wanted = mapping(sizes)
    inside = wanted.get("dp_attention") is True
    return Parallel(
        tp=at_least_one(wanted.get("tp")),
        pp=at_least_one(wanted.get("pp")),
        dp=at_least_one(wanted.get("dp")),
        ep=at_least_one(wanted.get("ep")),
        dp_attention=inside,
        experts_over_dp=engine == "vllm" and not inside and at_least_one(wanted.get("dp")) > 1,
    )
