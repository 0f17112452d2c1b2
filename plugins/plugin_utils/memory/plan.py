# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``parallel_plan``: the parallel sizes that we would choose for these nodes, and why.

As many replicas as fit, because they serve more and fail apart; each replica as small as it fits, but with that number
of replicas over as many nodes as there are. The same input always gives the same plan.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common import human
from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import Finding, finding
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.engines import Engine
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.fit import Question
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.parallelism.declared import options_of
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.parallelism.sizes import Parallel
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.remedies import settled
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.report import (
    as_dict,
    cost_of_16_bit,
    in_16_bit,
    nodes,
    question,
    wish,
)
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.rules import fp8_refused
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.search import (
    MOST_NODES,
    Choice,
    Nodes,
    smallest_nodes,
    tried,
)
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.values import mapping, whole

SHORT = ("tp", "pp", "dp", "ep")
SAME = ("gpu", "memory_mib", "compute_capability", "gpus")


def parallel_plan(
    model: Any,
    hardware: Any,
    engine_name: Any = "sglang",
    *,
    engine_version: Any = None,
    engine_args: Any = None,
    context_length: Any = None,
    max_concurrency: Any = 1,
    kv_dtype: Any = None,
) -> dict[str, Any]:
    """Choose sizes for ``model`` on ``hardware``; see the filter ``fullrank.serving.parallel_plan`` for every key.

    Never raises. When nothing fits, ``ok`` is false and a finding has the number of such nodes that would do.
    """
    declared, found = _declared(hardware)
    query, unread = question(
        model,
        declared,
        engine_name,
        version=engine_version,
        args=engine_args,
        wish=wish(context_length, max_concurrency, kv_dtype),
    )
    found += unread
    there = nodes(declared)
    dtype = ""
    if fp8_refused(query.loaded.shape, query.gpu, query.engine):
        dtype = "bfloat16"
        message = f"{query.gpu.name} has no FP8: planned with weights converted to BF16"
        cost = cost_of_16_bit(model, query, declared)
        found.append(finding("warn", "convert-to-bf16", "model.dtype", message, f"convert before serving: {cost}"))
        query = in_16_bit(model, query)
    by_count = {count: tried(query, there, count) for count in range(1, min(there.count, MOST_NODES) + 1)}
    good = {count: choices[-1] for count, choices in by_count.items() if choices and choices[-1].good}
    if not good:
        return _refusal(query, there, by_count, found, dtype)
    replicas = there.count // min(good)
    chosen = good[max(count for count in good if there.count // count == replicas)]
    idle = there.count - replicas * chosen.nodes
    if idle:
        message = f"{idle} of {there.count} nodes are left over by {replicas} replicas of {chosen.nodes}"
        found.append(finding("info", "nodes-idle", "hardware.nodes", message, "give them to another deployment"))
    return {
        "ok": not any(one["severity"] == "fail" for one in found),
        **_sizes(query.engine, chosen.sizes),
        "replicas": replicas,
        "nodes_per_replica": chosen.nodes,
        "gpus_per_replica": chosen.sizes.gpus,
        "idle_nodes": idle,
        "smallest_nodes": min(good),
        "dtype": dtype,
        "engine_args": arguments(query.engine, chosen.sizes),
        "why": _reasons(query, there, chosen, replicas, min(good)),
        "considered": _considered(query.engine, by_count, up_to=chosen),
        "fit": as_dict(query, chosen.sizes, chosen.fit),
        "findings": [*found, *chosen.fit.findings],
    }


def arguments(which: Engine, sizes: Parallel) -> dict[str, Any]:
    """The sizes as ``engine_args``, in the engine's own words; what is 1 is left out."""
    written = options_of(which.name, _sizes(which, sizes))
    return {name: value for name, value in written.items() if value is True or value != 1}


def _declared(hardware: Any) -> tuple[dict[str, Any], list[Finding]]:
    """Hardware as one mapping; a list of nodes is reduced to what all of them have, with a finding if they differ."""
    if not isinstance(hardware, Sequence) or isinstance(hardware, (str, bytes)):
        described = dict(mapping(hardware))
        return described, []
    listed = [mapping(node) for node in hardware]
    first = dict(listed[0]) if listed else {}
    found = []
    unequal = [key for key in SAME if len({str(node.get(key)) for node in listed}) > 1]
    if unequal:
        message = f"the nodes differ in {', '.join(unequal)}"
        remedy = "one deployment wants equal nodes: split the group"
        found.append(finding("fail", "nodes-unequal", "hardware", message, remedy))
        for key in ("memory_mib", "gpus"):
            sizes = [whole(node.get(key)) for node in listed if whole(node.get(key))]
            first |= {key: min(sizes)} if sizes else {}
    return {**first, "nodes": len(listed)}, found


def _sizes(which: Engine, sizes: Parallel) -> dict[str, int]:
    """SGLang's ``attn_dp_size`` is no size of the proposal: it stays as it was set, beside ``dp``."""
    own = bool(which.args.get("attention_data_parallel_size"))
    return {"tp": sizes.tp, "pp": sizes.pp, "dp": sizes.dp if own else sizes.schedulers, "ep": sizes.ep}


def _refusal(
    query: Question, there: Nodes, by_count: dict[int, list[Choice]], found: list[Finding], dtype: str
) -> dict[str, Any]:
    """No plan: the nearest miss, and the number of nodes that would do."""
    choices = [choice for count in sorted(by_count) for choice in by_count[count]]
    tight = [choice for choice in choices if choice.fit.verdict == "tight" and not choice.fit.refused]
    nearest = max(tight, key=lambda choice: choice.fit.tokens, default=choices[-1] if choices else None)
    enough = smallest_nodes(query, there, there.count + 1) if query.answerable else None
    if query.answerable:
        message = f"no sizes fit on {there.count} nodes of {there.gpus} x {query.gpu.name}"
        remedy = f"not even {MOST_NODES} such nodes would do: other GPUs or another checkpoint"
        if enough:
            remedy = f"{enough.nodes} such nodes would do (tp {enough.sizes.tp}, pp {enough.sizes.pp})"
        less = _settled(query, tight[0]) if tight else ""
        if less:
            remedy += f"; or settle for less: {less}"
        found = [*found, finding("fail", "no-plan", "hardware.nodes", message, remedy)]
    return {
        "ok": False,
        **dict.fromkeys(SHORT),
        "replicas": 0,
        "nodes_per_replica": None,
        "gpus_per_replica": None,
        "idle_nodes": there.count,
        "smallest_nodes": enough.nodes if enough else None,
        "dtype": dtype,
        "engine_args": {},
        "why": [],
        "considered": _considered(query.engine, by_count),
        "fit": as_dict(query, nearest.sizes, nearest.fit) if nearest else None,
        "findings": found,
    }


def _settled(query: Question, choice: Choice) -> str:
    """What would do on the nodes that are there, with the first sizes that are nearly enough."""
    words = "; or ".join(one.words for one in settled(query, choice.sizes, choice.fit))
    return words and f"{words} (with tp {choice.sizes.tp}, pp {choice.sizes.pp})"


def _reasons(query: Question, there: Nodes, chosen: Choice, replicas: int, fewest: int) -> list[str]:
    """Why these sizes, in sentences."""
    sizes, shape = chosen.sizes, query.loaded.shape
    group = sizes.copy_gpus
    reasons = [
        f"{human.binary(query.loaded.total)} of weights and {query.wish.concurrency} x {query.context} tokens of KV want"
        f" {group} x {query.gpu.name} per replica"
    ]
    if sizes.tp > there.nvlink:
        reasons.append(f"tensor parallel {sizes.tp} reaches across NVLink domains of {there.nvlink}: over RDMA")
    elif sizes.tp > 1:
        reasons.append(f"tensor parallel {sizes.tp} stays inside an NVLink domain of {there.nvlink}")
    if sizes.pp > 1:
        reason = "tensor parallel over all GPUs is refused or wants more memory"
        if chosen.nodes > 1 and query.engine.name == "vllm":
            reason = "what vLLM advises across nodes"
        elif chosen.nodes > 1 and not there.rdma:
            reason = "a pipeline sends little, and there is no RDMA between the nodes"
        reasons.append(f"pipeline parallel {sizes.pp} over {shape.layers} layers: {reason}")
    if sizes.ep > 1:
        reasons.append(
            f"expert parallel {sizes.ep} keeps experts whole, because tensor parallel would cut them too small"
        )
    if sizes.attention_dp > 1:
        reasons.append(f"attention data parallel {sizes.attention_dp}, as it was asked for")
    if sizes.dp > 1:
        reasons.append(f"data parallel {sizes.dp} uses the other GPUs of the node")
    if chosen.nodes > fewest:
        reasons.append(f"{fewest} nodes would do, {chosen.nodes} are used: the others would hold no further replica")
    if replicas > 1:
        reasons.append(f"{replicas} replicas, because one needs {chosen.nodes} of {there.count} nodes")
    return reasons


def _considered(which: Engine, by_count: dict[int, list[Choice]], up_to: Choice | None = None) -> list[dict[str, Any]]:
    """What was tried, in order, with the first reason against it."""
    rows = []
    for choice in [choice for choices in by_count.values() for choice in choices]:
        against = sorted(choice.fit.findings, key=lambda one: one["severity"] != "fail")
        reason = "" if choice.good or not against else against[0]["message"]
        sizes = {"nodes": choice.nodes, **_sizes(which, choice.sizes)}
        rows.append({**sizes, "verdict": choice.fit.verdict, "reason": reason})
        if choice is up_to:
            break
    return rows
