# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parallel sizes of one replica: how many GPUs it takes, what is cut into how many parts, and who serves. Pure.

`read` makes one from options; everybody else only asks it: rendering, rules, memory, start order, endpoints.
"""

from __future__ import annotations

from dataclasses import dataclass

INTERNAL, HYBRID, EXTERNAL = "internal", "hybrid", "external"
"""Who spreads requests over data parallel copies: the head's server; each node's server over its own copies; only what stands
before the servers, each of which has one copy (vLLM, docs/serving/data_parallel_deployment.md)."""


@dataclass(frozen=True)
class Parallel:
    """Sizes in GPUs. All are 1 or more.

    tp, pp, dp, pcp: tensor, pipeline, data and prefill context parallel size; their product is the number of GPUs. Attention
    groups (``attention_dp``), context parallel ranks inside an attention group (``attention_cp``) and expert groups lie inside
    these and take no GPUs of their own.
    """

    tp: int = 1
    pp: int = 1
    dp: int = 1
    """Copies of everything but routed experts, side by side, each with a scheduler of its own."""
    pcp: int = 1
    attention_dp: int = 1
    """Attention groups inside the tensor parallel group, each with requests of its own (SGLang, LMDeploy)."""
    attention_cp: int = 1
    """GPUs of an attention group that hold the same attention weights and share a prompt (SGLang)."""
    ep: int = 1
    """Groups to which whole experts are dealt; 1 where tensor parallel cuts each expert."""
    expert_shards: int = 1
    """GPUs that share the routed experts of one layer, whole or cut."""
    redundant_experts: int = 0
    """Physical copies of experts beside the logical ones, for load balancing."""
    dense_tp: int = 1
    """GPUs that share a dense feed-forward layer."""
    shared_tp: int = 1
    """GPUs that share the shared experts."""
    kv_shards: int = 1
    """GPUs among which the tokens of one sequence are spread in the KV cache (decode context parallel)."""
    nnodes: int = 1
    balancing: str = INTERNAL

    @property
    def gpus(self) -> int:
        """GPUs of the whole replica, which is the number of worker processes."""
        return self.tp * self.pp * self.dp * self.pcp

    @property
    def copy_gpus(self) -> int:
        """GPUs of one data parallel copy."""
        return self.tp * self.pp * self.pcp

    @property
    def stage_gpus(self) -> int:
        """GPUs of one pipeline stage of one copy."""
        return self.tp * self.pcp

    @property
    def attention_groups(self) -> int:
        """Parts of the tensor parallel group that each hold the whole attention of a layer."""
        return self.attention_dp * self.attention_cp

    @property
    def schedulers(self) -> int:
        """Groups that take requests, each with a KV cache of its own: data parallel copies and attention groups."""
        return self.dp * self.attention_dp

    @property
    def attention_tp(self) -> int:
        """GPUs that share one attention block."""
        return max(1, self.tp // self.attention_groups)

    @property
    def expert_tp(self) -> int:
        """Into how many parts one expert is cut."""
        return max(1, self.expert_shards // self.ep)

    @property
    def gpus_per_node(self) -> float:
        """GPUs that a node gives; not whole where the nodes do not divide the GPUs."""
        return self.gpus / max(1, self.nnodes)

    @property
    def copies_per_node(self) -> int:
        """Data parallel copies that begin on one node; 1 where a copy takes a node or more."""
        return max(1, self.dp // max(1, self.nnodes))

    @property
    def nodes_per_copy(self) -> int:
        """Nodes of one data parallel copy."""
        return max(1, self.nnodes // self.dp)

    @property
    def splits_copies(self) -> bool:
        """Whether data parallel copies lie on several nodes, so that the ranks of the launch are data parallel ranks."""
        return self.nnodes > 1 and self.dp > 1

    def first_copy(self, rank: int) -> int:
        """The data parallel rank of the first copy on a node."""
        return rank * self.dp // max(1, self.nnodes)

    def serves(self, rank: int) -> bool:
        """Whether a rank of the launch has an HTTP server: the head; with hybrid and external balancing the first node of every
        copy.
        """
        if self.balancing == INTERNAL or not self.splits_copies:
            return rank == 0
        return rank % self.nodes_per_copy == 0

    @property
    def product(self) -> str:
        """The sizes that multiply, for people: ``tensor 8 x pipeline 2 = 16 processes``."""
        named = (("tensor", self.tp), ("pipeline", self.pp), ("data parallel", self.dp), ("prefill context", self.pcp))
        some = [f"{name} {size}" for name, size in named if size != 1] or ["tensor 1"]
        return f"{' x '.join(some)} = {self.gpus} processes"
