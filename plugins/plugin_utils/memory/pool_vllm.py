# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""vLLM's KV pool: a fraction of the memory that CUDA sees, without weights, what the profile run needs and what is not torch's.

Sources
-------
* ``gpu_memory_utilization`` in vllm/config/cache.py of the source releases: 0.9 to 0.19, 0.92 from 0.20. CUDA graphs are part
  of the budget from 0.21 (vllm/v1/worker/gpu_worker.py).
* Defaults of a batch: ``get_batch_defaults`` in vllm/engine/arg_utils.py, and its forerunners in the wheels 0.7.3, 0.8.0, 0.8.5
  (by memory), 0.9.0 (not on A100), 0.28 (larger from 160 GiB), 0.33 (GB10 is small). Before 0.8 a batch without chunked
  prefill has the model's whole context (vllm/config.py: SchedulerConfig); up to 0.8 prefill was chunked for contexts above
  32768 only.
* The profile run (``profile_run``, ``_dummy_sampler_run`` in vllm/v1/worker/gpu_model_runner.py) goes through the layers with
  a full batch and then through the sampler with all sequences; tensors of the one are freed before the other. Up to 0.16 the
  sampler sorts its logits: 38.5 bytes per logit (Qwen3-14B on H100, 0.15 and 0.16: 5.64 GiB; Phi-4-mini on A100, 0.7.3: 1.83
  GiB). From 0.17 a Triton kernel does without (vllm/v1/sample/ops/topk_topp_triton.py): 15 bytes (Llama-3.1-8B and Qwen2.5-7B
  on H100, 0.19). From 0.27 another model runner is the default (vllm/v1/worker/gpu), whose sampler takes less: 8 bytes is a
  rounded value of one log (Qwen3-0.6B, 0.27), so the interval is wide.
* Workspaces of fused experts stay allocated from 0.13 (vllm/v1/worker/workspace.py); their sizes: the intermediate caches in
  vllm/model_executor/layers/fused_moe/fused_moe.py.
* ``non_torch_memory``: 0.01 to 0.25 GiB on one GPU, 0.5 to 2.5 with NVLink (2.1 in most logs), 0.2 to 0.25 between PCIe cards.
  From 0.26 NCCL's buffers lie outside the budget: total minus free memory at start is 1.5 to 2.5 GiB there. Before 0.7 the logs
  have up to 5.7 (vllm#10702) and 1.8 on one GPU (vllm#10511): the interval reaches there, the estimate does not.
* With speculative decoding the sampler sees several tokens of each sequence; one log has six times the memory (vllm#50722).
"""

from __future__ import annotations

from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.engines import Engine
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.pool import (
    Budget,
    Load,
    Part,
    larger_by,
    of_weights,
    set_size,
    smaller_by,
)
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.values import GIB, MIB, Line, line, whole

LONG_CONTEXT = 32768
LARGE_GPU, LARGEST_GPU = 70 * GIB, 160 * GIB
NOTHING_SORTED = 15
SORTED = 38.5
RUNNER_V2 = 8
NVLINK_GROUP, PCIE_GROUP = 2 * GIB + GIB // 10, GIB // 4
GRAPH_POOL = GIB // 4
GRAPH_OF_A_LAYER = 0.16 * MIB
"""CUDA graphs: a pool, and so much per layer for each captured batch size. Llama-3.1-8B: 102 graphs in 0.84 GiB; Qwen2.5-7B: 86
in 0.53; with 9 graphs 0.35, with 5 graphs 0.26 GiB (start-up lines "Estimated CUDA graph memory")."""
MXFP4_AT_RUN_TIME = 3 * GIB
"""What MXFP4 experts take beyond the profile: gpt-oss-20b ran out of memory in the sampler's warm-up at 0.95 of an H100 (vLLM
0.19, llm-d-planner's accuracy report), gpt-oss-120b after the pool at 0.95 of 31 GiB (vllm#51590)."""


def default_fraction(release: tuple[int, ...]) -> float:
    """``gpu_memory_utilization`` when unset; an unknown release counts as the older, smaller one."""
    return 0.92 if release >= (0, 20) else 0.9


def batch(which: Engine, load: Load) -> tuple[int, int]:
    """Tokens and sequences of the batch with which the engine profiles, as set or as it would choose them."""
    tokens, sequences = _default_batch(which, load)
    requested, most = whole(which.args.get("max_num_batched_tokens")), whole(which.args.get("max_num_seqs"))
    if not requested and most and load.context:
        tokens = min(tokens, max(1, most * load.context))
    tokens = requested or tokens
    return tokens, min(most or sequences, tokens)


def _default_batch(which: Engine, load: Load) -> tuple[int, int]:
    if which.version and which.version < (0, 8):
        chunked = which.args.get("enable_chunked_prefill") is True or load.context > LONG_CONTEXT
        return (2048 if chunked else max(load.context, 2048)), 256
    name = load.card.name.upper()
    if which.version and which.version < (0, 8, 4):
        return (8192 if "H100" in name or "H200" in name else 2048), 1024
    if which.since(0, 28) and load.card.visible >= LARGEST_GPU:
        return 16384, 1024
    small = which.since(0, 9) and load.card.a100
    small = small or (which.since(0, 33) and load.card.capability == (12, 1))
    return (8192, 1024) if load.card.visible >= LARGE_GPU and not small else (2048, 256)


def captured(which: Engine, sequences: int) -> int:
    """How many CUDA graphs are captured: in pieces up to twice the sequences and 512, whole up to the sequences."""
    if which.args.get("enforce_eager"):
        return 0
    sizes = [1, 2, 4, *range(8, 256, 8), *range(256, 513, 16)]
    return sum(size <= 2 * sequences for size in sizes) + sum(size <= sequences for size in sizes)


def budget(which: Engine, load: Load, fraction: float) -> Budget:
    """Divide one GPU's memory."""
    fraction = fraction or default_fraction(which.version)
    tokens, sequences = batch(which, load)
    peak, staying, lines = _activations(which, load, tokens, sequences)
    other, graphs = _not_torch(which, load), _graphs(which, load, sequences)
    static = int(load.card.visible * fraction)
    inside = [of_weights(load), peak, staying, other] + ([graphs] if which.since(0, 21) else [])
    kv = static - sum(part.size for part in inside)
    below, above = smaller_by(inside), larger_by(inside)
    pinned = set_size(which.args.get("kv_cache_memory_bytes"))
    if pinned:
        kv, below, above = pinned, 0, 0
    shown = graphs.size if which.since(0, 21) else 0
    used = peak.size + staying.size + other.size + shown
    lines = [
        line(
            "memory that CUDA sees",
            f"{load.card.memory_mib} - {load.card.reserved_mib} MiB",
            load.card.visible,
            "bytes",
        ),
        line("memory that vLLM may use", f"{load.card.visible} x {fraction:g}", static, "bytes"),
        *lines,
        line("NCCL and libraries, CUDA graphs", f"{other.size} + {shown}", other.size + shown, "bytes"),
        line(
            "KV pool on one GPU",
            "kv_cache_memory_bytes" if pinned else f"{static} - {load.weights} - {used}",
            kv,
            "bytes",
        ),
    ]
    return Budget(
        fraction=fraction,
        kv=kv,
        overhead=load.card.total - static + used,
        arithmetic=lines,
        below=below,
        above=above,
        spare=_spare(which, load, load.card.visible - static, graphs),
    )


def _activations(which: Engine, load: Load, tokens: int, sequences: int) -> tuple[Part, Part, list[Line]]:
    """The peak of the profile run, and the experts' workspace that stays allocated."""
    shape, sizes = load.shape, load.sizes
    per_logit = NOTHING_SORTED if which.since(0, 17) else SORTED
    per_logit = RUNNER_V2 if which.since(0, 27) else per_logit
    held = 2 * tokens * shape.hidden
    sampler = int(per_logit * sequences * shape.vocab) + held
    dense = shape.intermediate // sizes.dense_tp if shape.dense_layers or not shape.experts else 0
    body = 2 * tokens * 3 * (shape.hidden + dense)
    experts = 0
    if shape.experts:  # each token visits several experts, whose inner and outer activations lie side by side
        inner = shape.moe_intermediate // sizes.expert_tp
        gathered = tokens * (sizes.dp if sizes.ep > 1 else 1)
        experts = 2 * gathered * shape.experts_per_token * (max(2 * inner, shape.hidden) + inner)
    stays = experts if which.since(0, 13) and shape.quantization.method != "mxfp4" else 0
    experts = 0 if shape.quantization.method == "mxfp4" else experts  # its Triton kernels have no such workspace
    body += experts - stays
    peak = max(body, sampler)
    # another sampler than the measured one, a draft model's logits and an encoder's profile only add
    more = 0.15 + (5.0 if which.speculative else 0.0)
    unsure = int((SORTED - per_logit) * sequences * shape.vocab) if not which.version else 0
    encoder = GIB // 2 if shape.vision else 0
    lines = [
        line("layers in the profile run", f"2 x {tokens} tokens x 3 x ({shape.hidden} + {dense})", body, "bytes"),
        line(
            "sampler in the profile run",
            f"{per_logit:g} x {sequences} sequences x {shape.vocab} + 2 x {tokens} x {shape.hidden}",
            sampler,
            "bytes",
        ),
        line("activations, the larger of both, and experts' workspace", f"{peak} + {stays}", peak + stays, "bytes"),
    ]
    return (
        Part(peak, above=int(peak * more) + unsure + encoder, below=int(peak * (0.4 if which.since(0, 27) else 0.15))),
        Part(stays, above=int(stays * 0.5), below=int(stays * 0.5)),
        lines,
    )


def _not_torch(which: Engine, load: Load) -> Part:
    """What the CUDA libraries and NCCL take within the budget."""
    oldest = (
        GIB * 3 // 2 if which.version and which.version < (0, 7) else 0
    )  # its profile counted more than its own memory
    alone = Part(GIB // 4, GIB // 5, GIB // 5) if which.since(0, 18) else Part(GIB // 10, GIB // 5 + oldest, GIB // 10)
    if not load.group:
        return alone
    if not load.card.nvlink and load.sizes.nnodes == 1:
        return Part(PCIE_GROUP, GIB // 4, GIB // 10)
    if which.since(0, 26):
        return Part(GIB * 3 // 5, GIB, GIB // 2)
    return Part(NVLINK_GROUP, GIB * 3 // 4 + 2 * oldest, GIB * 8 // 5)


def _graphs(which: Engine, load: Load, sequences: int) -> Part:
    count = captured(which, sequences)
    size = int(GRAPH_POOL + count * load.shape.layers * GRAPH_OF_A_LAYER) if count else 0
    return Part(size, above=size * (3 if load.shape.experts or load.shape.linear_layers else 1), below=size // 2)


def _spare(which: Engine, load: Load, free: int, graphs: Part) -> int:
    """What is left outside the fraction, at worst: without the context, graphs and NCCL where they are not in the budget."""
    taken = load.outside
    if not which.since(0, 21):
        taken += graphs.size + graphs.above
    if which.since(0, 26) and load.group:
        taken += NVLINK_GROUP if load.card.nvlink else PCIE_GROUP
    if load.shape.quantization.method == "mxfp4":
        taken += MXFP4_AT_RUN_TIME
    return free - taken
