# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How vLLM runs over several nodes by itself, and which versions can.

Two forms, read in vllm/engine/arg_utils.py and vllm/entrypoints/cli/serve.py of 0.8.5.post1 to 0.33.0:

- ``--nnodes`` (from 0.11.1 on): tensor, pipeline and data parallel; each node works out its data parallel ranks from its own
  number, and takes the head's address from ``--master-addr``.
- The same, where copies of a model without experts take several nodes each (from 0.28.0 on): such copies are engines that know
  nothing of each other, and each is a group of its own that meets at its own first node. That node is the only one with data
  parallel options: by them it reports to the head. To the other nodes of a copy it is the head of a group of ranks
  (reconfigure_for_independent_dp_rank in vllm/config/parallel.py; found by hand and rendered as it started, 0.32.0).
- ``--data-parallel-address`` (from 0.9.0 on): data parallel copies that each lie on one node, with the first copy's number on
  each node. Before 0.10.0 two of its options belong to ``vllm serve`` itself, not to the parser that the catalog has.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import Finding, failed, warned
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.catalog import VersionCatalog
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.versions import Version
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.engines.call import Setting, present
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.engines.request import Request
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.parallelism.sizes import Parallel

SERVES_NO_HTTP = "this rank serves no HTTP"
COUNTED_SINCE = "0.30"
"""From here on --nnodes counts prefill context parallel (vllm/engine/arg_utils.py of 0.11.1 to 0.33.0)."""


APART_SINCE = "0.28"
"""From here on a copy of a model without experts that takes several nodes counts these, and not all nodes of the launch."""
OF_SERVERS = ("api_server_count",)
"""Options that a rank without HTTP refuses (vllm/entrypoints/cli/serve.py: run_headless)."""


def by_number(options: VersionCatalog) -> bool:
    """Whether a node only needs its number."""
    return options.lookup("nnodes") is not None


def by_copies(options: VersionCatalog, sizes: Parallel) -> bool:
    """Whether the older form can start these sizes: whole copies on each node."""
    has = all(options.lookup(name) for name in ("data_parallel_address", "data_parallel_start_rank", "headless"))
    return has and sizes.dp > 1 and sizes.dp % sizes.nnodes == 0


def apart(request: Request, options: VersionCatalog, sizes: Parallel) -> bool:
    """Whether each copy is a group of its own, which meets at its first node."""
    if sizes.dp == 1 or sizes.nodes_per_copy == 1 or request.executor == "ray" or not by_number(options):
        return False
    return request.has_experts is False and Version(options.version) >= Version(APART_SINCE)


def joins_a_copy(request: Request, options: VersionCatalog, sizes: Parallel) -> bool:
    """Whether this rank belongs to the group of a copy that begins on another node: it knows nothing of other copies."""
    return apart(request, options, sizes) and request.rank % sizes.nodes_per_copy > 0


def left_out(request: Request, options: VersionCatalog, sizes: Parallel) -> tuple[str, ...]:
    """Options of ``engine_args`` that this rank does not take."""
    of_servers = () if sizes.serves(request.rank) else OF_SERVERS
    if not joins_a_copy(request, options, sizes):
        return of_servers
    return (*of_servers, *(option.key for option in options.options if option.key.startswith("data_parallel")))


def arguments(request: Request, options: VersionCatalog, sizes: Parallel, port: int) -> dict[str, Setting]:
    """What makes this node a rank; nothing on one node, and nothing where the version has no form for it."""
    if request.nnodes == 1:
        return {}
    silent = {} if sizes.serves(request.rank) else present(headless=(True, SERVES_NO_HTTP))
    if apart(request, options, sizes):
        return _in_a_copy(request, sizes, port) | silent
    if by_number(options):
        numbered = present(
            nnodes=(request.nnodes, "nnodes"),
            node_rank=(request.rank, "rank"),
            master_addr=(request.head_address, "head_address"),
            master_port=(port, "rendezvous_port"),
        )
        return numbered | silent
    if not by_copies(options, sizes):
        return {}
    first = sizes.first_copy(request.rank)
    return silent | present(
        data_parallel_size_local=(sizes.copies_per_node, "data_parallel_size"),
        data_parallel_address=(request.head_address, "head_address"),
        data_parallel_rpc_port=(port, "rendezvous_port"),
        data_parallel_start_rank=(first or None, "rank"),
    )


def _in_a_copy(request: Request, sizes: Parallel, port: int) -> dict[str, Setting]:
    """A rank of a copy that is a group of its own."""
    each, addresses = sizes.nodes_per_copy, dict(enumerate(request.rank_addresses))
    within = request.rank % each
    first = request.rank_address if within == 0 else addresses.get(request.rank - within)
    number, count = (request.rank, request.nnodes) if within == 0 else (within, each)
    return present(
        nnodes=(count, "nnodes"),
        node_rank=(number, "rank"),
        master_addr=(first, "rank_addresses"),
        master_port=(port, "rendezvous_port"),
        data_parallel_address=(request.head_address if within == 0 else None, "head_address"),
    )


def rules(request: Request, options: VersionCatalog, values: Mapping[str, Any], sizes: Parallel) -> Iterator[Finding]:
    """What keeps this version from running over the nodes of the launch."""
    if request.nnodes == 1 or request.executor == "ray":
        return
    if not by_number(options) and not by_copies(options, sizes):
        yield _no_form(request, options, sizes)
    if joins_a_copy(request, options, sizes) and len(request.rank_addresses) != request.nnodes:
        message = (
            f"ranks meet at the first node of their copy, and the request has {len(request.rank_addresses)} addresses"
        )
        remedy = "write those of all ranks, in rank order"
        yield failed("no-rank-addresses", request.variable("rank_addresses"), message, remedy)
    if sizes.dp > 1 and sizes.nodes_per_copy > 1 and by_number(options) and request.has_experts is None:
        message = (
            "this is for a model with experts; copies of another one meet in another way, and what it is was not read"
        )
        yield warned(
            "model-not-read",
            "model_info",
            message,
            f"write {request.variable('model_info')}, or render where the weights are",
        )
    copies = sizes.dp * sizes.tp * sizes.pp
    if Version(options.version) < Version(COUNTED_SINCE) and sizes.pcp > 1 and copies % request.nnodes:
        message = (
            f"vLLM {options.requested} divides {copies} processes, without prefill context parallel, by {request.nnodes} nodes "
            "before it starts, and refuses"
        )
        remedy = f"take {COUNTED_SINCE} or newer, or a tensor parallel size that is a multiple of {request.nnodes}"
        where = f"{request.variable('engine_args')}.prefill_context_parallel_size"
        yield warned("context-parallel-over-nodes", where, message, remedy)


def _no_form(request: Request, options: VersionCatalog, sizes: Parallel) -> Finding:
    catalog, ray = options.catalog, f"{request.variable('executor')}: ray"
    since = catalog.history("nnodes").since
    if sizes.dp == 1:
        message = f"vLLM {options.requested} starts ranks on several nodes by Ray only (--nnodes came with {since})"
        return failed(
            "no-native-multi-node", request.variable("version"), message, f"set {ray} or a version from {since} on"
        )
    first = catalog.history("data_parallel_start_rank").since
    message = f"vLLM {options.requested} cannot spread data parallel {sizes.dp} over {request.nnodes} nodes by itself"
    remedy = f"take a version from {first} on, with a data parallel size that is a multiple of {request.nnodes}"
    if options.lookup("data_parallel_start_rank"):
        remedy = f"write a data parallel size that is a multiple of {request.nnodes}, or take a version from {since} on"
    return failed("no-native-multi-node", request.variable("version"), message, remedy)
