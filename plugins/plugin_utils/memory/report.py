# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``memory_fit``: the estimate as a plain dictionary, for people and programs."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common import human
from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import Finding, finding
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.engines import FRACTION, Engine, engine
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.fit import Fit, Question, Wish, fit
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.gpus import gpu
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.model import architecture
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.parallelism.declared import declared
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.parallelism.sizes import Parallel
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.remedies import (
    change_to,
    explained,
    offered,
    other_sizes,
)
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.rules import weight_only
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.search import Nodes, smallest_nodes
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.values import (
    MIB,
    at_least_one,
    length,
    mapping,
)
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.weights import weights


def question(
    model: Any, hardware: Any, engine_name: Any, *, version: Any = None, args: Any = None, wish: Wish | None = None
) -> tuple[Question, list[Finding]]:
    """The whole question but the parallel sizes, and what could not be read."""
    shape, found = architecture(mapping(model).get("config"))
    loaded = weights(model, shape)
    card, which = gpu(hardware), engine(engine_name, version, args)
    found += loaded.findings
    if which.name not in FRACTION:
        message = f"the memory of engine {str(engine_name)!r} is counted like vLLM's"
        found.append(finding("fail", "engine-unknown", "engine", message, f"one of {', '.join(FRACTION)}"))
    if not card.memory_mib:
        message = f"the memory of {card.name!r} is not known"
        remedy = "give memory_mib as nvidia-smi prints it (memory.total)"
        found.append(finding("fail", "gpu-unknown", "hardware.gpu", message, remedy))
    return Question(loaded, card, which, wish or Wish()), found


def wish(context_length: Any, max_concurrency: Any, kv_dtype: Any) -> Wish:
    """Read what the deployment shall hold."""
    return Wish(length(context_length), at_least_one(max_concurrency), str(kv_dtype or ""))


def nodes(hardware: Any) -> Nodes:
    """Read ``nodes``, ``gpus_per_node``, ``nvlink_domain`` and ``rdma`` of declared or gathered hardware."""
    described = mapping(hardware)
    gpus = min(at_least_one(described.get("gpus_per_node") or described.get("gpus") or 8), 64)
    return Nodes(
        count=at_least_one(described.get("nodes")),
        gpus=gpus,
        # a domain may leave the node (NVL72), but not the nodes that are there
        nvlink=min(gpus * at_least_one(described.get("nodes")), at_least_one(described.get("nvlink_domain") or gpus)),
        rdma=described.get("rdma") is not False,
    )


def in_16_bit(model: Any, query: Question) -> Question:
    """The same question after conversion of the checkpoint to BF16."""
    shape, _unused = architecture(mapping(model).get("config"))
    return replace(query, loaded=weights({**mapping(model), "dtype": "bfloat16"}, shape))


def cost_of_16_bit(model: Any, query: Question, hardware: Any) -> str:
    """What the checkpoint would need in BF16: bytes, and the fewest GPUs of this kind that hold it."""
    converted = in_16_bit(model, query)
    total = converted.loaded.total
    if not total:
        return "twice the bytes"
    text = f"{total} bytes instead of {query.loaded.total}"
    smallest = smallest_nodes(converted, nodes(hardware)) if converted.answerable else None
    return f"{text}, at least {smallest.sizes.copy_gpus} of these GPUs per replica" if smallest else text


def _without_fp8(model: Any, query: Question, hardware: Any, one: Finding) -> Finding:
    """The finding that FP8 cannot be computed, with what can: a conversion, an engine with weight-only kernels."""
    there = nodes(hardware)
    cost = cost_of_16_bit(model, query, hardware)
    words, changes = [f"convert to BF16 and drop quantization_config from config.json ({cost})"], []
    converted = in_16_bit(model, query)
    smallest = smallest_nodes(converted, there) if converted.answerable else None
    if smallest:
        changes.append({"dtype": "bfloat16", **change_to(smallest, there)})
    other = replace(query, engine=engine("vllm"))
    if query.engine.name != "vllm" and other.answerable and weight_only(query.loaded.shape, query.gpu, other.engine):
        held = smallest_nodes(other, there)
        if held:
            words.append(
                f"vLLM 0.9 or newer, which holds FP8 weights and computes in 16 bit (tp {held.sizes.tp}, pp {held.sizes.pp})"
            )
            changes.append({"engine": "vllm", "engine_args": {}, **change_to(held, there)})
    words.append("an INT8 or AWQ checkpoint of the model, where there is one")
    return {**one, "remedy": "; or ".join(words), "data": {**one["data"], "changes": changes}}


def sizes_of(which: Engine, wanted: Any) -> Parallel:
    """Parallel sizes: read already, or as the filter takes them, beside the options that are set for the engine."""
    return wanted if isinstance(wanted, Parallel) else declared(which.name, which.release, mapping(wanted), which.args)


def memory_fit(
    model: Any,
    hardware: Any,
    parallel_sizes: Any = None,
    engine_name: Any = "sglang",
    *,
    engine_version: Any = None,
    engine_args: Any = None,
    context_length: Any = None,
    max_concurrency: Any = 1,
    kv_dtype: Any = None,
) -> dict[str, Any]:
    """Estimate the memory of one deployment; see the filter ``fullrank.serving.memory_fit`` for every key.

    Never raises: what is missing or senseless is a finding, and the verdict is then ``unknown``.
    """
    query, found = question(
        model,
        hardware,
        engine_name,
        version=engine_version,
        args=engine_args,
        wish=wish(context_length, max_concurrency, kv_dtype),
    )
    sizes = sizes_of(query.engine, parallel_sizes)
    there = nodes(hardware)
    enough = not mapping(hardware).get("nodes") or sizes.gpus <= there.count * there.gpus
    answer = explained(query, sizes, fit(query, sizes), there, enough)
    found += [
        _without_fp8(model, query, hardware, one) if one["code"] == "fp8-unsupported" else one
        for one in answer.findings
    ]
    if not enough:
        message = f"{sizes.gpus} GPUs are requested, there are {there.count} nodes of {there.gpus} GPUs"
        few = finding("fail", "gpus-too-few", "parallel", message)
        ways = list(other_sizes(query, sizes, there)) if query.answerable else []
        found.append(offered(few, ways, "smaller tp, pp or dp"))
    return as_dict(query, sizes, replace(answer, findings=tuple(found)))


def as_dict(query: Question, sizes: Parallel, answer: Fit) -> dict[str, Any]:
    """The answer with the names that the filters document."""
    return {
        "verdict": answer.verdict,
        "summary": _summary(query, sizes, answer),
        "gpu_memory_bytes": query.gpu.memory_mib * MIB,
        "gpus": sizes.gpus,
        "parallel": asdict(sizes),
        "engine": query.engine.name,
        "fraction": answer.budget.fraction,
        "weights_bytes": query.loaded.total,
        "weights_per_gpu_bytes": answer.weights,
        "replicated_per_gpu_bytes": answer.replicated,
        "kv_bytes_per_token": answer.kv_per_token,
        "kv_bytes_per_token_range": list(answer.kv_range),
        "kv_bytes_per_token_per_gpu": answer.kv_per_token_per_gpu,
        "kv_bytes_per_request_per_gpu": answer.kv_per_request_per_gpu,
        "kv_pool_bytes": answer.budget.kv,
        "kv_pool_low_bytes": answer.budget.low,
        "kv_pool_high_bytes": answer.budget.high,
        "overhead_bytes": answer.budget.overhead,
        "context_length": answer.context,
        "tokens_that_fit": answer.tokens,
        "tokens_that_fit_at_least": answer.fewest,
        "tokens_that_fit_at_most": answer.most,
        "tokens_that_fit_in_all": answer.tokens * sizes.schedulers,
        "max_full_length_sequences": answer.tokens // answer.context if answer.context else 0,
        "arithmetic": list(answer.arithmetic),
        "findings": list(answer.findings),
    }


def _summary(query: Question, sizes: Parallel, answer: Fit) -> str:
    """One sentence for a report."""
    if answer.verdict == "unknown":
        return "unknown: " + "; ".join(one["message"] for one in answer.findings if one["severity"] == "fail")
    return (
        f"{answer.verdict}: {human.binary(answer.weights)} of weights on each of {sizes.gpus} x {query.gpu.name}"
        f" ({human.binary(query.gpu.memory_mib * MIB)}), {human.binary(answer.budget.kv)} for KV:"
        f" {answer.tokens} tokens ({answer.fewest} to {answer.most}),"
        f" {answer.tokens // max(1, answer.context)} x {answer.context}"
    )
