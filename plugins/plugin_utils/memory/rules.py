# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a model and its GPUs allow, whatever the memory: divisibility and compute capability.

Sources of the rules
--------------------
* Attention heads by tensor parallel, KV heads whole or replicated: both engines assert it when they build the layers.
* FP8 blocks: ``validate_block_quant_shapes`` in sglang/srt/layers/quantization/fp8.py and its twin in vLLM refuse a
  shard that is no multiple of the block. Seen: vllm#17569, vllm#25292, sglang#4791, THUDM/slime#1796; shared experts
  in spite of expert parallel: sglang#26107; GatedDeltaNet: sglang#19045.
* INT4 groups: a shard of the inputs must hold whole groups (vLLM: "The input size is not aligned with the quantized
  weight shape").
* FP8 needs compute capability 8.9: deepseek-ai/DeepSeek-R1#588, vllm#15336, ktransformers#1978. Below it engines may hold the
  weights in FP8 and compute in 16 bit, by Marlin's kernels (capability 8.0 to 8.8). vLLM: layers without blocks from 0.5.2
  (vllm#5975), experts and blocks of weights from 0.9.0 (vllm#17579; ``use_marlin`` in
  vllm/model_executor/layers/quantization/fp8.py of the wheels 0.8.5 and 0.9.0). SGLang: layers from 0.5.3, experts not yet in
  0.5.23 (sglang/srt/layers/quantization/fp8.py; sglang#12887, #30681).
* Sparse attention of DeepSeek-V3.2 has no backend below capability 9.0 in vLLM: vllm#40851.

What to write instead is not here: `remedies` tries it out first.
"""

from __future__ import annotations

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import Finding, finding
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.engines import Engine
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.gpus import Gpu
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.model import Architecture
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.parallelism.sizes import Parallel
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.values import parts

MARLIN_CAPABILITY = (8, 0)
"""From here on weight-only kernels compute FP8 weights in 16 bit."""


def divisibility(shape: Architecture, sizes: Parallel) -> list[Finding]:
    """Findings on sizes that do not divide the model; empty when all of them do."""
    return [*_heads(shape, sizes), *_shards(shape, sizes), *_layers_and_experts(shape, sizes)]


def shard_widths(shape: Architecture, sizes: Parallel) -> list[tuple[str, int, int]]:
    """What tensor parallel cuts: name, width, number of shards. Routed experts stay whole under expert parallel."""
    attention = sizes.attention_tp
    expert = shape.moe_intermediate if shape.experts else 0
    cuts = [
        ("intermediate_size", shape.intermediate if shape.dense_layers or not shape.experts else 0, sizes.dense_tp),
        ("moe_intermediate_size", expert, sizes.expert_tp),
        ("shared experts", shape.shared_intermediate, sizes.shared_tp),
        ("queries", shape.heads * shape.head_dim, attention),
        ("attention output", shape.heads * shape.v_head_dim, attention),
    ]
    if not shape.mla:
        cuts += [("keys and values", shape.kv_heads * shape.head_dim, min(attention, max(shape.kv_heads, 1)))]
    if not any(name in shape.quantization.unconverted for name in ("in_proj_b", "in_proj_a", "linear_attn")):
        cuts += [("linear_num_value_heads (GatedDeltaNet)", shape.linear_value_heads, attention)]
    return [(name, width, shards) for name, width, shards in cuts if width and shards > 1]


def _heads(shape: Architecture, sizes: Parallel) -> list[Finding]:
    found = []
    attention = sizes.attention_tp
    if sizes.tp % (sizes.attention_dp * sizes.attention_cp):
        groups = f"{sizes.attention_dp} attention groups"
        groups += f" of {sizes.attention_cp} context parallel ranks" if sizes.attention_cp > 1 else ""
        message = f"{sizes.tp} tensor parallel ranks do not divide into {groups}"
        found.append(finding("fail", "dp-attention-indivisible", "parallel.dp", message))
    if shape.heads and shape.heads % attention:
        message = f"{shape.heads} attention heads do not divide by tensor parallel {attention}"
        found.append(finding("fail", "heads-indivisible", "parallel.tp", message))
    few, many = sorted((max(shape.kv_heads, 1), attention))
    if not shape.mla and shape.heads and many % few:
        message = f"{shape.kv_heads} KV heads neither divide by tensor parallel {attention} nor divide it"
        found.append(finding("fail", "kv-heads-indivisible", "parallel.tp", message))
    return found


def _shards(shape: Architecture, sizes: Parallel) -> list[Finding]:
    found = []
    unit = shape.quantization.block or shape.quantization.group
    kind = "FP8 block" if shape.quantization.block else "quantization group"
    for name, width, shards in shard_widths(shape, sizes) if unit else []:
        inputs = name in ("intermediate_size", "moe_intermediate_size", "shared experts", "attention output")
        if width % shards or (width // shards % unit and (shape.quantization.block or inputs)):
            code = "fp8-block-indivisible" if shape.quantization.block else "group-indivisible"
            message = f"{name}: {width} / {shards} = {width / shards:g} is no multiple of the {kind} {unit}"
            found.append(finding("fail", code, "parallel.tp", message))
    return found


def _layers_and_experts(shape: Architecture, sizes: Parallel) -> list[Finding]:
    found = []
    if shape.layers and sizes.pp > shape.layers:
        message = f"{sizes.pp} pipeline stages for {shape.layers} layers"
        found.append(finding("fail", "stages-empty", "parallel.pp", message))
    elif shape.layers and shape.layers % sizes.pp:
        largest = parts(shape.layers, sizes.pp)
        message = (
            f"{shape.layers} layers over {sizes.pp} stages: the fullest holds {largest}, and the others wait for it"
        )
        found.append(finding("warn", "layers-uneven", "parallel.pp", message, "counted with the fullest stage"))
    if sizes.ep > 1 and not shape.experts:
        message = "expert parallel for a model without experts"
        found.append(finding("fail", "no-experts", "parallel.ep", message))
    elif sizes.ep > 1 and (shape.experts + sizes.redundant_experts) % sizes.ep:
        found.append(_experts_indivisible(shape, sizes))
    return found


def _experts_indivisible(shape: Architecture, sizes: Parallel) -> Finding:
    physical = shape.experts + sizes.redundant_experts
    count = f"{shape.experts} experts" + (
        f" and {sizes.redundant_experts} redundant" if sizes.redundant_experts else ""
    )
    more = -physical % sizes.ep + sizes.redundant_experts
    message = f"{count} do not divide by expert parallel {sizes.ep}; {more} redundant experts would make them"
    return finding("fail", "experts-indivisible", "parallel.ep", message)


def weight_only(shape: Architecture, gpu: Gpu, engine: Engine) -> bool:
    """An FP8 checkpoint that the engine holds in FP8 and computes in 16 bit, because the GPU has no FP8."""
    capability = gpu.capability
    if not (shape.quantization.fp8 and gpu.lacks_fp8 and capability and capability >= MARLIN_CAPABILITY):
        return False
    if engine.name == "vllm":
        return engine.since(0, 9) or (not shape.experts and not shape.quantization.block)
    return engine.name == "sglang" and not shape.experts and engine.since(0, 5, 3)


def fp8_refused(shape: Architecture, gpu: Gpu, engine: Engine) -> bool:
    """The checkpoint is FP8, the GPU has no FP8, and the engine has no kernel that computes it in 16 bit."""
    return shape.quantization.fp8 and gpu.lacks_fp8 and not weight_only(shape, gpu, engine)


def capability_findings(shape: Architecture, gpu: Gpu, engine: Engine) -> list[Finding]:
    """Findings on dtypes and kernels that the GPU cannot compute."""
    if gpu.capability is None:
        return []
    has = f"{gpu.name} has compute capability {gpu.capability[0]}.{gpu.capability[1]}"
    found = []
    if fp8_refused(shape, gpu, engine):
        found.append(finding("fail", "fp8-unsupported", "hardware.gpu", f"{has}, FP8 needs 8.9"))
    elif weight_only(shape, gpu, engine):
        message = (
            f"{has}, FP8 needs 8.9: {engine.name} holds the weights in FP8 and computes in 16 bit (Marlin). The memory is that of"
            " FP8; long prompts and large batches run no faster than with 16 bit weights"
        )
        found.append(finding("warn", "fp8-weight-only", "hardware.gpu", message))
    if shape.index_head_dim and engine.name == "vllm" and gpu.capability < (9, 0):
        message = f"{has}, sparse attention needs 9.0 in vLLM"
        found.append(
            finding("fail", "sparse-attention-unsupported", "hardware.gpu", message, "GPUs of capability 9.0 or more")
        )
    if gpu.lacks_bf16 and not shape.quantization.method and shape.dtype_bytes == 2:
        found.append(
            finding("warn", "bf16-unsupported", "hardware.gpu", f"{has}, bfloat16 needs 8.0", "dtype: float16")
        )
    return found
