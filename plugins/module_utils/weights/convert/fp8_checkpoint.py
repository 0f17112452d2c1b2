# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an FP8 checkpoint holds, and what becomes of each of its tensors in BF16. Pure; private to this collection.

Published checkpoints name and shape their scales in different ways (read in vLLM 0.32's ``quantization/`` and transformers 5's
``finegrained_fp8.py`` and ``fbgemm_fp8.py``, which load them):

=====================  ==================================  ===================================================================
``quant_method``       scale of ``X.weight``               shape for a weight of (out, in)
=====================  ==================================  ===================================================================
fp8, with blocks       ``X.weight_scale_inv``, F32 (Qwen   (⌈out/128⌉, ⌈in/128⌉); the block is ``weight_block_size``
                       also BF16, ue8m0 also F8_E8M0)
fp8 (AutoFP8)          ``X.weight_scale``                  () or (1,)
compressed-tensors     ``X.weight_scale``, BF16 or F32     (1,), (out, 1) or blocks, by ``strategy``
fbgemm_fp8             ``X.weight_scale``                  (out, 1); fused experts (experts, 1, out) or (experts, in, 1)
modelopt               ``X.weight_scale``                  (), (out,), or (⌈out/128⌉, 1, ⌈in/128⌉, 1) for FP8_PB_WO
=====================  ==================================  ===================================================================

In every one of them weight = code x scale, whatever ``_inv`` in the name suggests. Which modules were left in 16 bit (``ignore``,
``modules_to_not_convert``, ``exclude_modules``) is not asked: a tensor is converted when its dtype is F8_E4M3, and only then.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.weights.shards import INDEX

FP8_CAPABILITY = (8, 9)
"""FP8 tensor cores: Ada, Hopper and later (CUDA C programming guide, compute capabilities)."""

CONFIG = "config.json"
MODELOPT = "hf_quant_config.json"

# bytes of an element, by safetensors' names
ELEMENT_BYTES = {
    **dict.fromkeys(("F64", "I64", "U64", "C64"), 8),
    **dict.fromkeys(("F32", "I32", "U32"), 4),
    **dict.fromkeys(("BF16", "F16", "I16", "U16"), 2),
    **dict.fromkeys(("F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "I8", "U8", "BOOL"), 1),
}
SCALE_DTYPES = ("F32", "BF16", "F16", "F8_E8M0")
"""All of them are exact in float32."""
_NOT_FP8_WEIGHTS = {
    "F8_E5M2": "e5m2 is a format of gradients; no engine publishes weights in it",
    "F8_E4M3FNUZ": "e4m3fnuz (AMD) means half the value with the same bits, and NaN where e4m3fn has -0",
    "F8_E5M2FNUZ": "e5m2fnuz (AMD) is no format of weights",
}
_SCALE_SUFFIXES = ("_scale_inv", "_scale", "_weight_scale")
# scales of activations and of the KV cache: they mean nothing once nothing is computed in FP8
_ACTIVATION = re.compile(
    r"(^|[._])(input_scale|input_scale_ub|activation_scale|[qkv]_scale|kv_scale|prob_output_scale|[qkv]_proj\.output_scale)$"
)
# the same weights in another form, which no engine loads when there are safetensors
_OTHER_WEIGHTS = re.compile(r"\.(safetensors|pt|pth|gguf|h5|msgpack|onnx|ckpt)$|(^|/)pytorch_model.*\.bin$")
_OTHER_INDEX = re.compile(r"\.(safetensors|bin)\.index\.json$")


class CannotConvert(ValueError):
    """A checkpoint that is not converted. ``args``: what is wrong, and what to do instead."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message, remedy)
        self.message, self.remedy = message, remedy

    def __str__(self) -> str:
        return f"{self.message}; {self.remedy}"


@dataclass(frozen=True)
class Scheme:
    """How a checkpoint was quantized."""

    method: str
    block: tuple[int, int] | None
    """Rows and columns that share a scale; None when each tensor or channel has one."""


def _quantization(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """``quantization_config``, wherever it stands: models with several parts keep it with their language model."""
    for place in (config, config.get("text_config"), config.get("llm_config")):
        if isinstance(place, Mapping):
            for name in ("quantization_config", "compression_config"):
                if place.get(name):
                    return place[name]
    return {}


def scheme(config: Mapping[str, Any], modelopt: Mapping[str, Any] | None = None) -> Scheme | None:
    """The scheme by ``config.json`` and, where there is one, ``hf_quant_config.json``; None for one that is not quantized.

    Raises ``CannotConvert`` for everything that is no FP8 e4m3fn.
    """
    quantization = dict(_quantization(config))
    if not quantization and modelopt:
        quantization = {"quant_method": "modelopt", **dict(modelopt.get("quantization") or {})}
    if not quantization:
        return None
    method = str(quantization.get("quant_method") or "").lower()
    if method == "fp8":
        return _fp8(quantization)
    if method == "fbgemm_fp8":
        return Scheme(method, None)
    if method == "compressed-tensors":
        return _compressed_tensors(quantization)
    if method.startswith("modelopt"):
        return _modelopt(quantization)
    names = {"awq": "AWQ (INT4)", "gptq": "GPTQ (INT4 or INT8)", "mxfp4": "MXFP4", "bitsandbytes": "bitsandbytes"}
    raise _refused(names.get(method, repr(method)), "quantization_config.quant_method")


def _refused(what: str, where: str) -> CannotConvert:
    return CannotConvert(
        f"{where}: {what} is not converted, only FP8 e4m3 is",
        "take the original BF16 checkpoint, or an engine and GPUs that serve this one as it is",
    )


def _fp8(quantization: Mapping[str, Any]) -> Scheme:
    fmt = str(quantization.get("fmt") or "e4m3").lower()
    if fmt not in ("e4m3", "e4m3fn", "float8_e4m3fn"):
        raise _refused(fmt, "quantization_config.fmt")
    if quantization.get("store_dtype"):
        raise _refused(f"store_dtype {quantization['store_dtype']}", "quantization_config")
    return Scheme("fp8", _block(quantization.get("weight_block_size"), "quantization_config.weight_block_size"))


def _block(value: Any, where: str) -> tuple[int, int] | None:
    if not value:
        return None
    numbers = list(value) if isinstance(value, Sequence) and not isinstance(value, str) else str(value).split("x")
    try:
        rows, columns = (int(one) for one in numbers)
    except (TypeError, ValueError):
        raise CannotConvert(
            f"{where}: {value!r} is no pair of sizes", "compare config.json with its publisher's"
        ) from None
    if rows < 1 or columns < 1:
        raise CannotConvert(f"{where}: {value!r} is no pair of sizes", "compare config.json with its publisher's")
    return rows, columns


def _compressed_tensors(quantization: Mapping[str, Any]) -> Scheme:
    where = "quantization_config"
    if quantization.get("transform_config"):
        raise _refused("a checkpoint with transform_config (rotated weights)", where)
    sparsity = quantization.get("sparsity_config") or {}
    if sparsity and sparsity.get("format", "dense") != "dense":
        raise _refused(f"sparsity {sparsity.get('format')}", f"{where}.sparsity_config")
    blocks: set[tuple[int, int] | None] = set()
    for name, group in dict(quantization.get("config_groups") or {}).items():
        at = f"{where}.config_groups.{name}"
        weights = group.get("weights") or {}
        kind = f"{group.get('format') or quantization.get('format') or ''} {weights.get('type')}{weights.get('num_bits')}".strip()
        if weights.get("type") != "float" or weights.get("num_bits") != 8 or "mx" in kind:
            raise _refused(kind, at)
        if not weights.get("symmetric", True):
            raise _refused("a scheme with zero points", at)
        if weights.get("strategy") == "group":
            blocks.add((1, int(weights["group_size"])))
        else:
            blocks.add(_block(weights.get("block_structure"), at))
    if not blocks:
        raise CannotConvert(f"{where}: there are no config_groups", "compare config.json with its publisher's")
    sizes = {one for one in blocks if one}
    if len(sizes) > 1:
        raise _refused(f"a mixture of blocks {sorted(sizes)}", where)
    return Scheme("compressed-tensors", sizes.pop() if sizes else None)


def _modelopt(quantization: Mapping[str, Any]) -> Scheme:
    algorithm = str(quantization.get("quant_algo") or "").upper()
    if algorithm in ("FP8", "FP8_PER_CHANNEL_PER_TOKEN"):
        return Scheme("modelopt", None)
    if algorithm in ("FP8_PB_WO", "FP8_BLOCK_SCALES"):
        return Scheme("modelopt", (128, 128))
    raise _refused(algorithm or "a checkpoint without quant_algo", "quant_algo")


def needed(
    config: Mapping[str, Any], modelopt: Mapping[str, Any] | None, capabilities: Iterable[str]
) -> tuple[bool, str]:
    """Whether these GPUs (``8.0``, ``9.0``, …) need the checkpoint in BF16, and why, or why not.

    Not needed, too, for a checkpoint that cannot be converted: whether its scheme runs on these GPUs is the engine's affair.
    """
    lacking = sorted({one for one in capabilities if _capability(one) < FP8_CAPABILITY})
    if not lacking:
        known = ", ".join(sorted(set(capabilities)))
        return False, f"all GPUs compute FP8 (compute capability {known})" if known else "there are no GPUs without FP8"
    try:
        found = scheme(config, modelopt)
    except CannotConvert as error:
        return False, error.message
    if not found:
        return False, "the checkpoint is not quantized"
    least = f"{FP8_CAPABILITY[0]}.{FP8_CAPABILITY[1]}"
    return (
        True,
        f"GPUs of compute capability {', '.join(lacking)} do not compute FP8 ({least} does), the checkpoint is {found.method}",
    )


def _capability(text: str) -> tuple[int, int]:
    major, _unused, minor = str(text).partition(".")
    return int(major), int(minor or 0)


def converted_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """``config.json`` of the BF16 checkpoint: no quantization, dtype bfloat16."""
    new = _without_quantization(config)
    names = [name for name in ("torch_dtype", "dtype") if name in new] or ["torch_dtype"]
    return {**new, **dict.fromkeys(names, "bfloat16")}


def _without_quantization(part: Mapping[str, Any]) -> dict[str, Any]:
    new: dict[str, Any] = {}
    for name, value in part.items():
        if name in ("quantization_config", "compression_config"):
            continue
        if name in ("torch_dtype", "dtype") and str(value).startswith("float8"):
            new[name] = "bfloat16"
        else:
            new[name] = _without_quantization(value) if isinstance(value, Mapping) else value
    return new


# ---- tensors

Tensor = dict[str, Any]
"""name, dtype and shape as in the header of a safetensors file, bytes, file."""


def parse_header(file: str, text: bytes) -> dict[str, Tensor]:
    """The tensors of a safetensors file, from its header without the leading 8 bytes; raises ValueError.

    Read here, and not by the library, because the node's own Python decides what is to do, and has no library. The library
    checks the file against its header when it opens it.
    Format: https://huggingface.co/docs/safetensors/index#format
    """
    tensors: dict[str, Tensor] = {}
    for name, entry in json.loads(text).items():
        if name != "__metadata__":
            shape = [int(one) for one in entry["shape"]]
            begin, end = entry["data_offsets"]
            tensors[name] = {"name": name, "dtype": entry["dtype"], "shape": shape, "bytes": end - begin, "file": file}
    return tensors


def metadata(text: bytes) -> dict[str, str]:
    """The metadata in the header beside the tensors."""
    return dict(json.loads(text).get("__metadata__") or {})


def plan(tensors: Mapping[str, Tensor], found: Scheme) -> tuple[dict[str, Tensor | None], list[str]]:
    """What becomes of the tensors: the scale that each is multiplied with (None: it is copied), and those that are dropped.

    Scales may be in another file than their weights. Raises ``CannotConvert`` with everything that is wrong.
    """
    scales: dict[str, Tensor | None] = {}
    dropped, wrong = set(), []
    for name, tensor in tensors.items():
        dtype = tensor["dtype"]
        partner = next((name + end for end in _SCALE_SUFFIXES if name + end in tensors), "")
        if dtype == "F8_E4M3":
            try:
                scales[name] = _laid_out(name, tensor, partner, tensors.get(partner), found.block)
                dropped.add(partner)
            except ValueError as error:
                wrong.append(str(error))
        elif dtype in _NOT_FP8_WEIGHTS:
            wrong.append(f"{name}: {_NOT_FP8_WEIGHTS[dtype]}")
        elif dtype not in ELEMENT_BYTES or (dtype in ("I8", "U8") and partner):
            wrong.append(f"{name}: {dtype} with a scale is another quantization than FP8")
        else:
            scales[name] = None
            if _ACTIVATION.search(name):
                dropped.add(name)
    if wrong:
        shown = wrong[:10] + ([f"and {len(wrong) - 10} more"] if len(wrong) > 10 else [])
        raise CannotConvert("; ".join(shown), "take the original BF16 checkpoint, or serve this one as it is")
    return {name: scale for name, scale in scales.items() if name not in dropped}, sorted(dropped)


def _laid_out(
    name: str, tensor: Tensor, partner: str, scale: Tensor | None, block: tuple[int, int] | None
) -> dict[str, Any]:
    """The scale with its ``grid`` (planes, rows, columns) and what one of its elements covers (``cover``, likewise)."""
    if not scale:
        raise ValueError(f"{name}: FP8 without a scale ({', '.join(name + end for end in _SCALE_SUFFIXES)})")
    if scale["dtype"] not in SCALE_DTYPES:
        raise ValueError(f"{partner}: a scale in {scale['dtype']}")
    shape = tensor["shape"]
    weight = [math.prod(shape[:-2]), *([1] * (2 - len(shape))), *shape[-2:]]
    grid = _grid(scale["shape"], weight)
    cover = []
    for size, count, per in zip(weight, grid, (1, *(block or (1, 1)))):  # noqa: B905 - not in Python 3.9
        if count == 1:
            cover.append(size)
        elif count == size:
            cover.append(1)
        elif count == -(-size // per):
            cover.append(per)
    if len(cover) != 3:
        kind = f"blocks of {block[0]} x {block[1]}" if block else "one scale for each tensor or channel"
        raise ValueError(f"{name} {shape}: a scale of {scale['shape']} does not fit {kind}")
    return {**scale, "weight": weight, "grid": grid, "cover": cover}


def _grid(shape: Sequence[int], weight: Sequence[int]) -> list[int]:
    """The scale's shape as (planes, rows, columns)."""
    if math.prod(shape) == 1:
        return [1, 1, 1]
    if len(shape) == 4 and shape[1] == shape[3] == 1 and weight[0] == 1:
        return [1, shape[0], shape[2]]  # ModelOpt's FP8_PB_WO
    if len(shape) == 1:
        return [shape[0], 1, 1] if weight[0] > 1 else [1, shape[0], 1]
    if len(shape) == 2:
        # of stacked experts, one for each; of a matrix, its own
        return [*shape, 1] if weight[0] > 1 else [1, *shape]
    return [math.prod(shape[:-2]), *shape[-2:]]


# ---- files


def other_files(paths: Iterable[str], weights: Iterable[str]) -> tuple[list[str], list[str]]:
    """What goes along unchanged, and what is left out: rewritten files, and weights that are not loaded."""
    known = {*weights, INDEX, CONFIG, MODELOPT}
    rest = sorted(path for path in paths if path not in known)
    left = [path for path in rest if _OTHER_WEIGHTS.search(path) or _OTHER_INDEX.search(path)]
    return [path for path in rest if path not in left], left


def layout(
    tensors: Mapping[str, Tensor], scales: Mapping[str, Tensor | None], extra: Mapping[str, str]
) -> tuple[bytes, dict[str, Tensor | None], int]:
    """A new safetensors file from the tensors of one: its first bytes (length and header), its tensors' scales, its size.

    Tensors are in the order of their bytes. Wide elements come first, as where the library writes: so each tensor is aligned.
    """
    widths = {name: 2 if scales[name] else ELEMENT_BYTES[tensors[name]["dtype"]] for name in tensors if name in scales}
    header: dict[str, Any] = {"__metadata__": dict(extra)} if extra else {}
    position = 0
    for name in sorted(widths, key=lambda name: (-widths[name], name)):
        tensor, scale = tensors[name], scales[name]
        begin, position = position, position + tensor["bytes"] * (2 if scale else 1)
        dtype = "BF16" if scale else tensor["dtype"]
        header[name] = {"dtype": dtype, "shape": tensor["shape"], "data_offsets": [begin, position]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    ordered = {name: scales[name] for name in header if name in scales}
    return len(text).to_bytes(8, "little") + text, ordered, 8 + len(text) + position


def converted_index(index: Mapping[str, Any], names: Iterable[str], total: int) -> dict[str, Any]:
    """The index of the BF16 checkpoint. ``total``: bytes of all tensors."""
    weight_map = index["weight_map"]
    return {
        "metadata": {**dict(index.get("metadata") or {}), "total_size": total},
        "weight_map": {name: weight_map[name] for name in sorted(weight_map.keys() & set(names))},
    }


def shares(sizes: Mapping[str, int], ranks: int) -> list[list[str]]:
    """The files for each of ``ranks``, about the same number of bytes for all; the same answer everywhere.

    The largest file goes to the rank that has least so far: no rank gets more than the mean plus one file.
    """
    found: list[list[str]] = [[] for _unused in range(ranks)]
    loads = [0] * ranks
    for name in sorted(sizes, key=lambda one: (-sizes[one], one)):
        rank = loads.index(min(loads))
        found[rank].append(name)
        loads[rank] += sizes[name]
    return [sorted(names) for names in found]
