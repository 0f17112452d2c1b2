# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How each engine cuts a GPU's memory into weights, KV pool and the rest.

Sources
-------
* SGLang: ``mem_fraction_static`` in sglang/srt/server_args.py of the wheels 0.4.6 to 0.5.6 (0.5.23:
  sglang/srt/arg_groups/memory_hook.py). Three rules followed each other: a table by parallel size (to 0.4.7), a
  reserve by GPU size (0.4.8 to 0.5.2), a sum over what is reserved (from 0.5.3).
* vLLM: ``gpu_memory_utilization`` in vllm/config/cache.py of the source releases: 0.9 to 0.19, 0.92 from 0.20. From
  0.21 CUDA graphs are part of the profile (log line of gpu_worker.py, quoted in gpustack/runner#251).
* LMDeploy: ``cache_max_entry_count`` in lmdeploy/messages.py, the reserve in lmdeploy/pytorch/engine/executor/base.py
  (``_get_runtime_size``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common.versions import numbers
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.files import read_catalog
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.option import snake
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.model import Architecture
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.parallelism.resolve import resolved
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.parallelism.sizes import Parallel
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.values import (
    GIB,
    MIB,
    Line,
    line,
    mapping,
    number,
    whole,
)

FRACTION = {
    "sglang": "mem_fraction_static",
    "vllm": "gpu_memory_utilization",
    "lmdeploy": "cache_max_entry_count",
}
CONTEXT = {"sglang": "context_length", "vllm": "max_model_len", "lmdeploy": "session_len"}
QUANT_POLICY = {"4": "int4", "8": "int8"}  # lmdeploy's names for the KV dtype

HIGHEST = 0.95
"""The largest fraction that we would still propose: the rest holds activations, NCCL buffers and CUDA graphs."""

RUNTIME_ALONE, RUNTIME_GROUP = GIB // 2, 2 * GIB
"""CUDA context alone, and with NCCL: vLLM's logs name 0.1 to 0.3 GiB and 1.4 to 2.6 GiB as non_torch_memory."""
VLLM_GRAPHS = GIB // 2  # 0.36 to 0.65 GiB in published logs of 0.11 to 0.27
LMDEPLOY_PREFILL, LMDEPLOY_BATCH = 8192, 256


@dataclass(frozen=True)
class Engine:
    """An engine with what was set for it, in its own words."""

    name: str
    release: str
    """As it was given; empty when it was not."""
    args: Mapping[str, Any]
    """Canonical name of this version → value, where the engine is known."""

    @property
    def version(self) -> tuple[int, ...]:
        """The numbers of the release."""
        return numbers(self.release)

    @property
    def fraction(self) -> float:
        """The fraction that was set; 0 when it was left to the engine."""
        return min(1.0, number(self.args.get(FRACTION.get(self.name, ""))))

    @property
    def context(self) -> int:
        """The context length that was set, in tokens; 0 when it was left to the model."""
        return whole(self.args.get(CONTEXT.get(self.name, "")))

    @property
    def kv_dtype(self) -> str:
        """The KV cache's dtype that was set; ``auto`` when it was left to the engine."""
        if self.name == "lmdeploy":
            return QUANT_POLICY.get(str(self.args.get("quant_policy")), "auto")
        return str(self.args.get("kv_cache_dtype") or "auto")


@dataclass(frozen=True)
class Load:
    """What lies on the fullest GPU of a deployment."""

    memory_mib: int
    weights: int
    """Bytes, replicated part included."""
    shape: Architecture
    sizes: Parallel

    @property
    def total(self) -> int:
        """The GPU's memory in bytes."""
        return self.memory_mib * MIB

    @property
    def runtime(self) -> int:
        """Bytes of the CUDA context and of NCCL."""
        return RUNTIME_GROUP if self.sizes.gpus > 1 else RUNTIME_ALONE


@dataclass(frozen=True)
class Budget:
    """One GPU's memory as the engine divides it. Bytes."""

    fraction: float
    kv: int
    """What is left for the KV pool; negative when the weights alone are too large."""
    overhead: int
    """What is neither weights nor KV."""
    arithmetic: list[Line] = field(default_factory=list)


def engine(name: Any, release: Any = None, args: Any = None) -> Engine:
    """Read an engine with options in any spelling that its version takes; without a version those of the newest count."""
    known, written = str(name or "").lower(), {str(key): value for key, value in mapping(args).items()}
    if known in FRACTION:
        catalog = read_catalog(known)
        options = resolved(catalog.at(str(release or catalog.versions[-1])), written)
    else:
        options = {snake(key): value for key, value in written.items()}
    return Engine(known, str(release or ""), options)


def budget(which: Engine, load: Load, fraction: float = 0.0) -> Budget:
    """Divide one GPU's memory; ``fraction`` overrules what was set for the engine."""
    fraction = fraction or which.fraction
    if which.name == "sglang":
        return _sglang(which, load, fraction)
    if which.name == "lmdeploy":
        return _lmdeploy(which, load, fraction or 0.8)
    return _vllm(which, load, fraction or vllm_fraction(which.version))


def _sglang(which: Engine, load: Load, fraction: float) -> Budget:
    lines = []
    if not fraction:
        reserved, formula = sglang_reserved(which, load.memory_mib, load.sizes)
        fraction = round(max(0.0, load.memory_mib - reserved) / load.memory_mib, 3) if load.memory_mib else 0.0
        lines = [line("mem_fraction_static, unset", formula, reserved, "MiB reserved")]
    static = int(load.total * fraction)
    kv = static - load.weights
    lines += [
        line("weights and KV pool", f"{load.memory_mib} MiB x {fraction:g}", static, "bytes"),
        line("KV pool on one GPU", f"{static} - {load.weights}", kv, "bytes"),
    ]
    return Budget(fraction, kv, load.total - static, lines)


def sglang_reserved(which: Engine, memory_mib: int, sizes: Parallel) -> tuple[float, str]:
    """MiB that SGLang keeps free when ``mem_fraction_static`` is unset, and how it comes about."""
    group = sizes.tp * sizes.pp
    speculative = str(which.args.get("speculative_algorithm") or "").upper()
    draft = {"": 0, "NGRAM": 0, "STANDALONE": 6144}.get(speculative, 2048)
    if which.version and which.version < (0, 4, 8):
        shares = ((16, 0.79), (8, 0.81), (4, 0.85), (2, 0.87), (1, 0.88))
        fraction = next(share for least, share in shares if group >= least) if memory_mib <= 81920 else 0.88
        if memory_mib > 96 * 1024:
            largest = 1 - 18 * 1024 / memory_mib
            fraction = min(fraction + 48 * 1024 * (1 - fraction) / memory_mib, largest)
        return memory_mib * (1 - fraction), f"table of {group} GPUs: {fraction:.3f} of the memory"
    if which.version and which.version < (0, 5, 3):
        steps = ((35, 2.8, 0.1), (90, 9.5, 0.5), (160, 12.0, 0.5))
        flat, each = next(((f, e) for below, f, e in steps if memory_mib < below * 1024), (32.0, 0.0))
        reserved = (flat + group * each) * 1024 + draft + (4096 if sizes.attention_dp > 1 else 0)
        return reserved, f"({flat:g} + {group} x {each:g}) x 1024" + (f" + {draft}" if draft else "")
    chunk, graphs = _sglang_defaults(memory_mib, sizes.tp)
    chunk = whole(which.args.get("chunked_prefill_size")) or (
        chunk if which.args.get("chunked_prefill_size") is None else whole(which.args.get("max_prefill_tokens"), 16384)
    )
    graphs = whole(which.args.get("cuda_graph_max_bs")) or graphs
    reserved = 512 + 1.5 * max(chunk, 2048) + 2 * graphs + 1024 * group / 8
    formula = f"512 + 1.5 x {max(chunk, 2048)} + 2 x {graphs} + 1024 x {group} / 8"
    if sizes.attention_dp > 1:
        each = 3 + (1.5 if graphs > 300 else 0)
        reserved += each * graphs * sizes.attention_dp
        formula += f" + {each:g} x {graphs} x {sizes.attention_dp}"
    if memory_mib > 60 * 1024 and reserved < 10 * 1024:
        reserved, formula = 10 * 1024, f"{formula}, at least 10240"
    return reserved + draft, formula + (f" + {draft}" if draft else "")


def _sglang_defaults(memory_mib: int, tp: int) -> tuple[int, int]:
    """``chunked_prefill_size`` in tokens and ``cuda_graph_max_bs`` that SGLang takes for a GPU of this size."""
    steps = ((20, 2048, 8, 8), (35, 2048, 24, 80), (60, 4096, 32, 160), (160, 8192, 256, 512))
    for below, chunk, few, many in steps:
        if memory_mib < below * 1024:
            return chunk, few if tp < 4 else many
    return 16384, 512


def vllm_fraction(release: tuple[int, ...]) -> float:
    """``gpu_memory_utilization`` when unset; an unknown release counts as the older, smaller one."""
    return 0.92 if release >= (0, 20) else 0.9


def _vllm(which: Engine, load: Load, fraction: float) -> Budget:
    """vLLM measures its activations at start; before that they can only be estimated."""
    shape, sizes = load.shape, load.sizes
    tokens = whole(which.args.get("max_num_batched_tokens")) or 8192
    sequences = whole(which.args.get("max_num_seqs")) or 256
    wide = 2 * max(shape.intermediate // sizes.tp, 1)
    if shape.experts:  # each token visits several experts; their inputs, inner and outer activations lie side by side
        inner = shape.moe_intermediate // sizes.expert_tp
        wide = max(wide, shape.experts_per_token * (2 * inner + shape.hidden))
    activations = 2 * tokens * (4 * shape.hidden + wide) + 8 * sequences * shape.vocab
    graphs = VLLM_GRAPHS if which.version >= (0, 21) and not which.args.get("enforce_eager") else 0
    static = int(load.total * fraction)
    used = activations + load.runtime + graphs
    kv = static - load.weights - used
    return Budget(
        fraction,
        kv,
        load.total - static + used,
        [
            line("memory that vLLM may use", f"{load.memory_mib} MiB x {fraction:g}", static, "bytes"),
            line(
                "activations, estimated",
                f"2 x {tokens} tokens x (4 x {shape.hidden} + {wide}) + 8 x {sequences} sequences x {shape.vocab}",
                activations,
                "bytes",
            ),
            line("CUDA context, NCCL, CUDA graphs", f"{load.runtime} + {graphs}", load.runtime + graphs, "bytes"),
            line("KV pool on one GPU", f"{static} - {load.weights} - {used}", kv, "bytes"),
        ],
    )


def _lmdeploy(which: Engine, load: Load, fraction: float) -> Budget:
    """LMDeploy's pytorch backend: a share of what is free after the weights and a reserve for logits."""
    prefill = whole(which.args.get("max_prefill_token_num")) or LMDEPLOY_PREFILL
    batch = whole(which.args.get("max_batch_size")) or LMDEPLOY_BATCH
    logits = 2 * (prefill + 2 * batch) * load.shape.vocab
    free = load.total - load.weights - load.runtime - logits
    kv = int(free * fraction)
    return Budget(
        fraction,
        kv,
        load.total - load.weights - max(kv, 0),
        [
            line("reserve for logits", f"2 x ({prefill} + 2 x {batch}) x {load.shape.vocab}", logits, "bytes"),
            line("free after loading", f"{load.total} - {load.weights} - {load.runtime} - {logits}", free, "bytes"),
            line("KV pool on one GPU", f"{free} x {fraction:g}", kv, "bytes"),
        ],
    )
