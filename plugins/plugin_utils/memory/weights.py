# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the weights weigh, in all and on one GPU. All sizes in bytes.

The size comes from the files or the index, never from parameters x dtype for a quantized checkpoint: the
``torch_dtype`` of an FP8 or INT4 checkpoint is bfloat16.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import Finding, finding
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.model import Architecture
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.models.quantization import Quantization
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.parallelism.sizes import Parallel
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.values import Line, line, mapping, parts, whole

DTYPE_BYTES: Mapping[str, float] = {
    # safetensors' own dtype names: https://huggingface.co/docs/safetensors/index
    **dict.fromkeys(("F64", "I64", "U64"), 8),
    **dict.fromkeys(("F32", "I32", "U32"), 4),
    **dict.fromkeys(("BF16", "F16", "I16", "U16"), 2),
    **dict.fromkeys(("F8_E4M3", "F8_E5M2", "F8_E8M0", "I8", "U8", "BOOL"), 1),
    "F4": 0.5,
}
WIDE = ("bfloat16", "bf16", "float16", "fp16", "half")


@dataclass(frozen=True)
class Weights:
    """The checkpoint as it will be loaded."""

    total: int
    """Bytes of all tensors; 0 when unknown."""
    shape: Architecture
    """The architecture, with the quantization that is left after a conversion."""
    arithmetic: list[Line] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def weights(model: Any, shape: Architecture) -> Weights:
    """Size of ``model``: ``files``, ``index``, ``total_size`` or ``parameters`` (by dtype), converted to ``dtype``."""
    described = mapping(model)
    stored, lines, found = _stored(described, shape)
    dtype = str(described.get("dtype") or "").lower()
    if dtype not in WIDE or not stored:
        if dtype and dtype not in (*WIDE, "auto"):
            found.append(
                finding(
                    "warn", "dtype-unknown", "model.dtype", f"no conversion to {dtype!r} is known", "write bfloat16"
                )
            )
        return Weights(stored, shape, lines, found)
    if not shape.quantization.method:
        converted = parts(stored * 2, shape.dtype_bytes)
        if converted != stored:
            lines += [line("weights in 16 bit", f"{stored} x 2 / {shape.dtype_bytes}", converted, "bytes")]
    elif shape.quantization.fp8:
        converted, more = _fp8_to_16_bit(described, shape, stored)
        lines += more
    else:
        converted = max(stored, 2 * shape.parameters)
        lines += [line("weights in 16 bit", f"{shape.parameters} parameters by config.json x 2", converted, "bytes")]
        found.append(
            finding(
                "warn",
                "conversion-estimated",
                "model.dtype",
                f"the size of a {shape.quantization.method} checkpoint in 16 bit is only estimated from config.json",
                "take the original checkpoint and its index instead",
            )
        )
    return Weights(converted, replace(shape, quantization=Quantization(), dtype_bytes=2), lines, found)


def _stored(described: Mapping[str, Any], shape: Architecture) -> tuple[int, list[Line], list[Finding]]:
    """Bytes of the checkpoint as published, from the best source there is."""
    index = mapping(described.get("index"))
    listed = set(map(str, mapping(index.get("weight_map")).values()))
    files = described.get("files")
    entries = [mapping(entry) for entry in files] if isinstance(files, list) else []
    sizes = {str(entry.get("path")): whole(entry.get("size")) for entry in entries}
    # beside the sharded files some repositories hold the same weights once more: only what the index lists is loaded
    chosen = {
        name: size for name, size in sizes.items() if (name in listed if listed else name.endswith(".safetensors"))
    }
    if sum(chosen.values()) and listed <= set(chosen):
        total = sum(chosen.values())
        return total, [line("weights", f"sum of {len(chosen)} safetensors files", total, "bytes")], []
    declared = whole(mapping(index.get("metadata")).get("total_size"))
    if declared:
        return declared, [line("weights", "total_size of model.safetensors.index.json", declared, "bytes")], []
    declared = whole(described.get("total_size"))
    if declared:
        return declared, [line("weights", "total_size as declared", declared, "bytes")], []
    counts = _counts(described)
    if counts:
        total = int(sum(count * DTYPE_BYTES[dtype] for dtype, count in counts.items()))
        formula = " + ".join(f"{count} x {DTYPE_BYTES[dtype]} ({dtype})" for dtype, count in counts.items())
        return total, [line("weights", formula, total, "bytes")], []
    if shape.quantization.method or not shape.parameters:
        message = "the weights' size is unknown"
        if shape.quantization.method:
            message += f", and parameters x dtype is no estimate for a {shape.quantization.method} checkpoint"
        remedy = "give model.safetensors.index.json, the list of files with sizes, or total_size in bytes"
        return 0, [], [finding("fail", "weights-size-unknown", "model.index", message, remedy)]
    total = shape.parameters * shape.dtype_bytes
    guess = finding(
        "warn",
        "weights-size-estimated",
        "model.index",
        "the weights' size is estimated from config.json",
        "give model.safetensors.index.json or the list of files",
    )
    return total, [line("weights", f"{shape.parameters} parameters x {shape.dtype_bytes}", total, "bytes")], [guess]


def _counts(described: Mapping[str, Any]) -> dict[str, int]:
    """Parameters by dtype, as the hub's API gives them in ``safetensors.parameters``; unknown dtypes are left out."""
    counts = {str(dtype): whole(count) for dtype, count in mapping(described.get("parameters")).items()}
    return {dtype: count for dtype, count in counts.items() if count and dtype in DTYPE_BYTES}


def _fp8_to_16_bit(described: Mapping[str, Any], shape: Architecture, stored: int) -> tuple[int, list[Line]]:
    """Each FP8 weight doubles, scales go, what was 16 bit stays.

    Without counts by dtype, the 16 bit part is taken as embeddings, output head and routers; for DeepSeek-R1
    that differs from the exact count by 0.02 %.
    """
    counts = _counts(described)
    narrow = sum(count for dtype, count in counts.items() if dtype.startswith("F8"))
    if narrow:
        wide = sum(counts.get(dtype, 0) for dtype in ("BF16", "F16"))
        formula = f"2 x ({narrow} FP8 + {wide} 16 bit parameters)"
    else:
        wide = min(shape.embedding_parameters + shape.router_parameters, stored // 2)
        scale = 4 / shape.quantization.block**2 if shape.quantization.block else 0  # one float32 per block
        narrow = int((stored - 2 * wide) / (1 + scale))
        formula = f"2 x (({stored} - 2 x {wide}) / {1 + scale:.6f} + {wide})"
    total = max(stored, 2 * (narrow + wide))
    return total, [line("weights in 16 bit", formula, total, "bytes")]


def replicated(shape: Architecture, sizes: Parallel) -> int:
    """Bytes that one GPU holds beyond its even share, over all layers.

    Routers and the down-projections of MLA are whole on every tensor parallel rank; KV projections with fewer heads
    than ranks are held once per rank; with attention data parallelism each group holds all attention; dense layers and shared
    experts may be spread over fewer GPUs than the rest.
    """
    spare = 1 - 1 / sizes.tp
    width = 1 if shape.quantization.bits == 8 else 2
    total = 2 * shape.router_parameters * spare
    total += shape.replicated_parameters * width * spare
    for layer in shape.stack:
        if layer.kv_heads and not layer.row and layer.kv_heads < sizes.attention_tp:
            missing = 1 / layer.kv_heads - 1 / sizes.attention_tp
            total += layer.kv_heads * shape.hidden * (layer.key + layer.value) * width * missing
    held_more = 1 / sizes.attention_tp - 1 / sizes.tp
    total += shape.mixer_parameters * width * held_more
    total += shape.dense_parameters * width * max(0.0, 1 / sizes.dense_tp - 1 / sizes.tp)
    total += shape.shared_parameters * width * max(0.0, 1 / sizes.shared_tp - 1 / sizes.tp)
    return int(total)


def per_gpu(loaded: Weights, sizes: Parallel) -> tuple[int, int, list[Line]]:
    """Bytes on the fullest GPU, the part of them beyond an even share, and the arithmetic."""
    shape = loaded.shape
    stage = parts(shape.layers, sizes.pp) / shape.layers if shape.layers else 1 / sizes.pp
    share = min(1.0, shape.expert_parameters / shape.parameters) if shape.parameters else 0.0
    apart = sizes.expert_shards != sizes.tp or sizes.redundant_experts
    experts = int(loaded.total * share) if apart else 0
    copies = 1 + sizes.redundant_experts / shape.experts if shape.experts else 1
    even = int(stage * ((loaded.total - experts) / sizes.tp + experts * copies / sizes.expert_shards))
    extra = int(stage * replicated(shape, sizes))
    formula = f"{loaded.total} / {sizes.tp}"
    if experts:
        formula = f"{loaded.total - experts} / {sizes.tp} + {experts} of experts / {sizes.expert_shards}"
    if experts and sizes.redundant_experts:
        formula += f" x {shape.experts + sizes.redundant_experts} / {shape.experts} with redundant experts"
    if sizes.pp > 1:
        formula = f"({formula}) x {parts(shape.layers, sizes.pp)} of {shape.layers} layers"
    return (
        even + extra,
        extra,
        [
            line("weights per GPU, even share", formula, even, "bytes"),
            line("weights replicated on each GPU", "routers and projections that are not sharded", extra, "bytes"),
        ],
    )
