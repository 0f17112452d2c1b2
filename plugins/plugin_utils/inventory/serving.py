# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which ranks of a replica serve, from variables alone. Pure; private to this collection."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.files import read_catalog
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.parallelism.resolve import planned
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.parallelism.sizes import Parallel

Variables = Mapping[str, Any]

VARIABLES = ("engine_args", "engine_data_parallel_size", "engine_executor", "engine_name", "engine_version")
"""The variables of the head that decide it."""


def copies(hosts: Sequence[str], head: Variables) -> Parallel:
    """How a replica of vLLM spreads data parallel copies over its hosts; of everything else no more than that its head serves."""
    size = str(head.get("engine_data_parallel_size") or "1")
    native = str(head.get("engine_executor") or "native") == "native"
    if head.get("engine_name") != "vllm" or not native or len(hosts) < 2 or not size.isdigit() or int(size) < 2:
        return Parallel()
    args = head.get("engine_args")
    options = read_catalog("vllm").at(str(head.get("engine_version") or ""))
    return planned(options, {"data_parallel_size": int(size)}, args if isinstance(args, Mapping) else {}, len(hosts))


def serving(hosts: Sequence[str], variables: Mapping[str, Variables]) -> list[str]:
    """The hosts of a replica that serve, its head first. variables: at least those of the head."""
    sizes = copies(hosts, variables[hosts[0]])
    return [host for rank, host in enumerate(hosts) if sizes.serves(rank)]


def all_serving(replicas: Iterable[Sequence[str]], variables: Mapping[str, Variables]) -> list[str]:
    """The same of several replicas."""
    return [host for hosts in replicas for host in serving(hosts, variables)]


def meeting(hosts: Sequence[str], head: Variables) -> list[str]:
    """The hosts at which others may meet: the head, and the first host of every copy that takes several."""
    sizes = copies(hosts, head)
    apart = sizes.splits_copies and sizes.nodes_per_copy > 1
    return [host for rank, host in enumerate(hosts) if rank == 0 or (apart and rank % sizes.nodes_per_copy == 0)]
