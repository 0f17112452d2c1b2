# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SGLang's KV pool: a fraction of what was free before the weights were loaded, without the weights.

Sources
-------
* The pool: ``_profile_available_bytes`` in sglang/srt/mem_cache/kv_cache_configurator.py (0.5.23; before that
  ``profile_max_num_token`` in sglang/srt/model_executor/model_runner.py): free memory after loading, minus (1 - fraction) of
  the free memory before. Before loading the CUDA context and NCCL are there already ("Load weight begin. avail mem"): 0.4 GiB
  less than CUDA's total in logs of 0.4, 0.7 from 0.5; NCCL 1.2 to 2.3 GiB with NVLink, 0.0 to 0.2 between PCIe cards.
* ``mem_fraction_static`` unset: sglang/srt/server_args.py of the wheels 0.4.3 to 0.5.18, sglang/srt/arg_groups/memory_hook.py
  of 0.5.20 to 0.5.23. Rules followed each other: a table by parallel size (to 0.4.5; with a correction for large GPUs in 0.4.6
  and 0.4.7), a reserve by GPU size (0.4.8 to 0.5.2), a sum over what is reserved (from 0.5.3). Graphs of prefills are in the
  sum from 0.5.10, where they became the default; a draft model no longer from 0.5.14. GPUs below 35 GiB take larger chunks
  from 0.5.20.
* State of linear attention takes ``mamba_full_memory_ratio`` (0.9) parts beside one part of KV (``_handle_max_mamba_cache``).
* Encoders of vision: ``adjust_mem_fraction_for_vlm``; 0.92 stands for encoders of 1152 features and 27 layers.
"""

from __future__ import annotations

from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.engines import Engine
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.gpus import AMD
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.pool import (
    Budget,
    Load,
    Part,
    larger_by,
    of_weights,
    smaller_by,
)
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.values import GIB, Line, line, number, whole

CONTEXT_OLDER, CONTEXT_NEWER = GIB * 2 // 5, GIB * 7 // 10
NVLINK_GROUP, PCIE_GROUP = GIB * 8 // 5, GIB // 8
ALL_TO_ALL = 12 * GIB
"""With an all-to-all backend one log has 11.5 GiB more before the pool than is explained here (sglang#6017)."""
STATE_RATIO = 0.9
VISION = 0.92
SHARES = ((16, 0.79), (8, 0.81), (4, 0.85), (2, 0.87), (1, 0.88))


def budget(which: Engine, load: Load, fraction: float) -> Budget:
    """Divide one GPU's memory."""
    lines: list[Line] = []
    unsure = 0.0
    if not fraction:
        fraction, lines = _default_fraction(which, load)
        unsure = 0.03 if load.shape.vision else 0.0
    first = free_before(which, load)
    static = int(first.size * fraction)
    rest = static - load.weights
    share = _kv_share(which, load)
    kv = int(rest * share) if rest > 0 else rest
    parts = [of_weights(load), Part(0, int(first.above * fraction), int(first.below * fraction))]
    parts.append(Part(0, int(first.size * unsure), int(first.size * unsure)))
    if which.args.get("enable_deepep_moe") or str(which.args.get("moe_a2a_backend") or "none") != "none":
        parts.append(Part(0, ALL_TO_ALL))
    lines += [
        line(
            "free before loading",
            f"{load.card.visible} - {load.card.visible - first.size} of CUDA and NCCL",
            first.size,
            "bytes",
        ),
        line("weights and KV pool", f"{first.size} x {fraction:g}", static, "bytes"),
        line(
            "KV pool on one GPU",
            f"({static} - {load.weights})" + (f" x {share:.3f}, beside state" if share < 1 else ""),
            kv,
            "bytes",
        ),
    ]
    return Budget(
        fraction=fraction,
        kv=kv,
        overhead=load.card.total - static,
        arithmetic=lines,
        below=int(smaller_by(parts) * share),
        above=int(larger_by(parts) * share),
        spare=first.size - static,
    )


def free_before(which: Engine, load: Load) -> Part:
    """Free memory when SGLang begins to load weights."""
    context = CONTEXT_NEWER if which.since(0, 5) else CONTEXT_OLDER
    if load.card.unified:
        context = load.outside
    group = (NVLINK_GROUP if load.card.nvlink or load.sizes.nnodes > 1 else PCIE_GROUP) if load.group else 0
    above = int(0.3 * GIB + 0.5 * group + (2 * GIB if load.card.unified else 0))
    return Part(load.card.visible - context - group, above, int(0.3 * GIB + 0.4 * group))


def _kv_share(which: Engine, load: Load) -> float:
    if not load.shape.linear_layers or which.args.get("disable_radix_cache"):
        return 1.0
    return 1 / (1 + (number(which.args.get("mamba_full_memory_ratio")) or STATE_RATIO))


def _default_fraction(which: Engine, load: Load) -> tuple[float, list[Line]]:
    memory_mib = load.card.memory_mib
    reserve, formula = reserved(which, load)
    fraction = round(max(0.0, memory_mib - reserve) / memory_mib, 3) if memory_mib else 0.0
    lines = [line("mem_fraction_static, unset", formula, reserve, "MiB reserved")]
    if load.shape.vision:
        fraction = round(fraction * VISION, 3)
        lines.append(line("fraction with an encoder", f"x {VISION}", int(fraction * memory_mib), "MiB"))
    return fraction, lines


def reserved(which: Engine, load: Load) -> tuple[float, str]:
    """MiB that SGLang keeps free when ``mem_fraction_static`` is unset, and how it comes about."""
    speculative = str(which.args.get("speculative_algorithm") or "").upper()
    memory_mib, group = load.card.memory_mib, load.sizes.tp * load.sizes.pp
    if which.version and which.version < (0, 4, 8):
        return _by_table(which.version, memory_mib, group, bool(speculative))
    draft = (
        {"": 0, "NGRAM": 0, "STANDALONE": 6144}.get(speculative, 2048)
        if not which.since(0, 5, 14) or not which.version
        else 0
    )
    if which.version and which.version < (0, 5, 3):
        return _by_size(memory_mib, group, 2048 if speculative else 0, load.sizes.attention_dp > 1)
    return _by_sum(which, load, draft)


def _by_table(version: tuple[int, ...], memory_mib: int, group: int, speculative: bool) -> tuple[float, str]:
    fraction = next(share for least, share in SHARES if group >= least)
    if version >= (0, 4, 6):
        if memory_mib > 180_000:
            fraction = 0.79
        elif memory_mib > 96 * 1024:
            largest = 1 - (20 if speculative else 18) * 1024 / memory_mib
            fraction = min(0.88 + 48 * 1024 * 0.12 / memory_mib, largest)
        else:
            fraction = (fraction if memory_mib <= 81920 else 0.88) * (0.95 if speculative else 1)
    return memory_mib * (1 - fraction), f"table of {group} GPUs: {fraction:.3f} of the memory"


def _by_size(memory_mib: int, group: int, draft: int, attention_dp: bool) -> tuple[float, str]:
    steps = ((35, 2.8, 0.1), (90, 9.5, 0.5), (160, 12.0, 0.5))
    flat, each = next(((f, e) for below, f, e in steps if memory_mib < below * 1024), (32.0, 0.0))
    more = draft + (4096 if attention_dp else 0)
    return (flat + group * each) * 1024 + more, f"({flat:g} + {group} x {each:g}) x 1024" + (
        f" + {more}" if more else ""
    )


def _by_sum(which: Engine, load: Load, draft: int) -> tuple[float, str]:
    memory_mib, sizes = load.card.memory_mib, load.sizes
    group = sizes.tp * sizes.pp
    chunk, graphs = _defaults(which, memory_mib, sizes.tp)
    set_chunk = which.args.get("chunked_prefill_size")
    chunk = whole(set_chunk) or (chunk if set_chunk is None else whole(which.args.get("max_prefill_tokens"), 16384))
    graphs = whole(which.args.get("cuda_graph_max_bs")) or graphs
    reserve = 512 + 1.5 * max(chunk, 2048) + 2 * graphs + 1024 * group / 8
    formula = f"512 + 1.5 x {max(chunk, 2048)} + 2 x {graphs} + 1024 x {group} / 8"
    if sizes.attention_dp > 1:
        each = 3 + (1.5 if graphs > 300 else 0)
        reserve += each * graphs * sizes.attention_dp
        formula += f" + {each:g} x {graphs} x {sizes.attention_dp}"
    prefill = _prefill_graphs(which, load, chunk)
    if prefill:
        reserve += prefill
        formula += f" + {prefill} of prefill graphs"
    if memory_mib > 60 * 1024 and reserve < 10 * 1024:
        reserve, formula = 10 * 1024, f"{formula}, at least 10240"
    deepep = 2048 if which.since(0, 5, 15) and str(which.args.get("moe_a2a_backend")) == "deepep" else 0
    more = draft + deepep
    return reserve + more, formula + (f" + {more}" if more else "")


def _prefill_graphs(which: Engine, load: Load, chunk: int) -> int:
    """MiB for graphs of prefills, where SGLang captures them: not with drafts, attention groups, stages, all-to-all backends."""
    if which.version and which.version < (0, 5, 10):
        return 0
    off = (
        which.args.get("disable_piecewise_cuda_graph") or which.args.get("disable_cuda_graph") or load.card.kind == AMD
    )
    backend = str(which.args.get("moe_a2a_backend") or "none")
    if off or which.speculative or load.sizes.attention_dp > 1 or load.sizes.pp > 1 or backend != "none":
        return 0
    if load.shape.mla:
        return 1536
    sizes = [
        *range(4, 33, 4),
        *range(48, 257, 16),
        *range(288, 513, 32),
        *range(576, 1025, 64),
        *range(1280, 4097, 256),
    ]
    return 8 * sum(size <= chunk for size in [*sizes, *range(4608, chunk + 1, 512)])


def _defaults(which: Engine, memory_mib: int, tp: int) -> tuple[int, int]:
    """``chunked_prefill_size`` in tokens and ``cuda_graph_max_bs`` that SGLang takes for a GPU of this size."""
    small = (35, 4096, 48, 160) if which.since(0, 5, 20) else (35, 2048, 24, 80)
    steps = ((20, 2048, 8, 8), small, (60, 4096, 32, 160), (160, 8192, 256, 512))
    for below, chunk, few, many in steps:
        if memory_mib < below * 1024:
            return chunk, few if tp < 4 else many
    return 16384, 512
