# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which checkpoints are converted, which are refused, and what becomes of their tensors."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.weights import shards
from ansible_collections.fullrank.serving.plugins.module_utils.weights.convert import fp8_checkpoint
from ansible_collections.fullrank.serving.plugins.module_utils.weights.convert.fp8_checkpoint import (
    CannotConvert,
    Scheme,
)
from hypothesis import given
from hypothesis import strategies as st

FP8 = {"quant_method": "fp8", "fmt": "e4m3", "weight_block_size": [128, 128], "activation_scheme": "dynamic"}


def compressed(**weights: Any) -> dict[str, Any]:
    return {
        "quant_method": "compressed-tensors",
        "format": "float-quantized",
        "config_groups": {"group_0": {"weights": {"type": "float", "num_bits": 8, "symmetric": True, **weights}}},
        "ignore": ["lm_head"],
    }


@pytest.mark.parametrize(
    ("given_config", "modelopt", "scheme"),
    [
        ({}, None, None),
        (FP8, None, Scheme("fp8", (128, 128))),
        ({"quant_method": "fp8", "activation_scheme": "static"}, None, Scheme("fp8", None)),
        ({"quant_method": "fbgemm_fp8", "activation_scale_ub": 1200.0}, None, Scheme("fbgemm_fp8", None)),
        (compressed(strategy="channel"), None, Scheme("compressed-tensors", None)),
        (compressed(strategy="block", block_structure=[128, 128]), None, Scheme("compressed-tensors", (128, 128))),
        (compressed(strategy="block", block_structure="64x32"), None, Scheme("compressed-tensors", (64, 32))),
        ({"quant_method": "modelopt", "quant_algo": "FP8"}, None, Scheme("modelopt", None)),
        (
            {},
            {"quantization": {"quant_algo": "fp8_pb_wo", "exclude_modules": ["lm_head"]}},
            Scheme("modelopt", (128, 128)),
        ),
    ],
)
def test_schemes(given_config: dict[str, Any], modelopt: dict[str, Any] | None, scheme: Scheme | None) -> None:
    config = {"quantization_config": given_config} if given_config else {}
    assert fp8_checkpoint.scheme(config, modelopt) == scheme
    assert fp8_checkpoint.scheme({"text_config": config}, modelopt) == scheme


@pytest.mark.parametrize(
    ("given_config", "named"),
    [
        ({"quant_method": "awq"}, "AWQ"),
        ({"quant_method": "gptq"}, "GPTQ"),
        ({"quant_method": "mxfp4"}, "MXFP4"),
        ({"quant_method": "quark"}, "quark"),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, "NVFP4"),
        ({"quant_method": "fp8", "fmt": "float8_e4m3fnuz"}, "fnuz"),
        ({"quant_method": "fp8", "fmt": "e5m2"}, "e5m2"),
        ({"quant_method": "fp8", "store_dtype": "mxfp4"}, "mxfp4"),
        ({"quant_method": "fp8", "weight_block_size": [128]}, "no pair"),
        (compressed(num_bits=4), "float4"),
        (
            {**compressed(), "format": "nvfp4-pack-quantized"}
            | {"config_groups": {"g": {"weights": {"type": "float", "num_bits": 4}}}},
            "nvfp4",
        ),
        (compressed(type="int"), "int8"),
        (compressed(symmetric=False), "zero points"),
        ({**compressed(), "transform_config": {"config_groups": {}, "x": 1}}, "transform_config"),
        ({**compressed(), "sparsity_config": {"format": "sparse-24-bitmask"}}, "sparse-24"),
        ({"quant_method": "compressed-tensors"}, "config_groups"),
    ],
)
def test_what_is_refused_is_named(given_config: dict[str, Any], named: str) -> None:
    with pytest.raises(CannotConvert, match=named) as refused:
        fp8_checkpoint.scheme({"quantization_config": given_config})
    assert refused.value.remedy


@pytest.mark.parametrize(
    ("capabilities", "config", "wanted"),
    [
        (["8.0"], {"quantization_config": FP8}, True),
        (["9.0", "8.6"], {"quantization_config": FP8}, True),
        (["8.9", "9.0", "10.0", "12.0"], {"quantization_config": FP8}, False),
        ([], {"quantization_config": FP8}, False),
        (["8.0"], {}, False),
        (["8.0"], {"quantization_config": {"quant_method": "awq"}}, False),
    ],
)
def test_when_it_is_needed(capabilities: list[str], config: dict[str, Any], wanted: bool) -> None:
    needed, why = fp8_checkpoint.needed(config, None, capabilities)
    assert needed is wanted and why


def test_config() -> None:
    config = {
        "dtype": "float16",
        "quantization_config": FP8,
        "text_config": {"quantization_config": FP8, "dtype": "float8_e4m3fn", "layers": 2},
        "vision_config": {"torch_dtype": "float32"},
    }
    assert fp8_checkpoint.converted_config(config) == {
        "dtype": "bfloat16",
        "text_config": {"dtype": "bfloat16", "layers": 2},
        "vision_config": {"torch_dtype": "float32"},
    }
    assert fp8_checkpoint.converted_config({"compression_config": FP8}) == {"torch_dtype": "bfloat16"}


def tensor(dtype: str, *shape: int) -> dict[str, Any]:
    width = fp8_checkpoint.ELEMENT_BYTES.get(dtype, 1)
    return {"dtype": dtype, "shape": list(shape), "bytes": width * math.prod(shape), "file": "f"}


@pytest.mark.parametrize(
    ("shape", "scale", "block", "grid", "cover"),
    [
        ([200, 300], [2, 3], (128, 128), [1, 2, 3], [1, 128, 128]),
        ([64, 300], [1, 3], (128, 128), [1, 1, 3], [1, 64, 128]),
        ([200, 300], [], None, [1, 1, 1], [1, 200, 300]),
        ([200, 300], [1], (128, 128), [1, 1, 1], [1, 200, 300]),
        ([200, 300], [200, 1], None, [1, 200, 1], [1, 1, 300]),
        ([200, 300], [200], None, [1, 200, 1], [1, 1, 300]),
        ([200, 300], [2, 1, 3, 1], (128, 128), [1, 2, 3], [1, 128, 128]),
        ([4, 200, 300], [4, 2, 3], (128, 128), [4, 2, 3], [1, 128, 128]),
        ([4, 200, 300], [4, 1, 300], None, [4, 1, 300], [1, 200, 1]),
        ([4, 200, 300], [4], None, [4, 1, 1], [1, 200, 300]),
        ([4, 200, 300], [4, 200], None, [4, 200, 1], [1, 1, 300]),
        ([200, 300], [200, 10], (1, 30), [1, 200, 10], [1, 1, 30]),
    ],
)
def test_shapes_of_scales(
    shape: list[int], scale: list[int], block: tuple[int, int] | None, grid: list[int], cover: list[int]
) -> None:
    tensors = {"a.weight": tensor("F8_E4M3", *shape), "a.weight_scale_inv": tensor("F32", *scale)}
    scales, dropped = fp8_checkpoint.plan(tensors, Scheme("fp8", block))
    assert dropped == ["a.weight_scale_inv"] and set(scales) == {"a.weight"}
    laid = scales["a.weight"]
    assert laid and (laid["grid"], laid["cover"]) == (grid, cover)


def test_names() -> None:
    copied = {
        "model.norm.weight": tensor("BF16", 8),
        "model.layers.0.layer_scale": tensor("F32", 8),
        "mlp.experts.gate_up_proj": tensor("F8_E4M3", 2, 8, 4),
        "mlp.gate.e_score_correction_bias": tensor("F32", 8),
    }
    gone = {
        "mlp.experts.gate_up_proj_weight_scale": tensor("F32"),
        "mlp.experts.gate_up_proj_input_scale": tensor("F32"),
        "self_attn.k_proj.k_scale": tensor("F32"),
        "self_attn.v_scale": tensor("F32"),
        "self_attn.kv_scale": tensor("F32"),
        "self_attn.k_proj.output_scale": tensor("F32"),
        "self_attn.q_proj.activation_scale": tensor("F32"),
        "self_attn.q_proj.input_scale": tensor("F32"),
    }
    scales, dropped = fp8_checkpoint.plan({**gone, **copied}, Scheme("modelopt", None))
    assert set(scales) == set(copied) and set(dropped) == set(gone)


@pytest.mark.parametrize(
    ("tensors", "reason"),
    [
        ({"a": tensor("F8_E4M3", 4, 4)}, "without a scale"),
        ({"a": tensor("F8_E4M3", 4, 4), "a_scale": tensor("F32", 3, 4)}, "does not fit"),
        ({"a": tensor("F8_E4M3", 4, 4), "a_scale": tensor("I32", 1)}, "a scale in I32"),
        ({"a": tensor("F8_E4M3FNUZ", 4, 4), "a_scale": tensor("F32", 1)}, "half the value"),
        ({"a": tensor("F8_E5M2", 4, 4)}, "e5m2"),
        ({"a": tensor("U8", 4, 4), "a_scale": tensor("F8_E4M3", 4, 4)}, "another quantization"),
        ({"a": tensor("F4", 4, 4)}, "F4"),
    ],
)
def test_tensors_that_are_refused(tensors: dict[str, Any], reason: str) -> None:
    with pytest.raises(CannotConvert, match=reason):
        fp8_checkpoint.plan(tensors, Scheme("fp8", (128, 128)))


def test_readers_find_every_tensor_aligned() -> None:
    tensors = {
        "a.k_scale": tensor("BF16"),
        "b": tensor("BF16"),
        "c": tensor("F32", 4),
        "d": tensor("F8_E4M3", 3, 1),
        "d_scale": tensor("F32"),
        "e": tensor("U8", 5),
    }
    scales, _ = fp8_checkpoint.plan(tensors, Scheme("fp8", None))
    head, ordered, size = fp8_checkpoint.layout(tensors, scales, {"format": "pt"})
    assert list(ordered) == ["c", "b", "d", "e"]
    assert [name for name, scale in ordered.items() if scale] == ["d"]
    assert len(head) % 8 == 0 and size == len(head) + 16 + 2 + 6 + 5
    header = json.loads(head[8:])
    assert int.from_bytes(head[:8], "little") == len(head) - 8 and header.pop("__metadata__") == {"format": "pt"}
    assert {name: (one["dtype"], one["data_offsets"]) for name, one in header.items()} == {
        "c": ("F32", [0, 16]),
        "b": ("BF16", [16, 18]),
        "d": ("BF16", [18, 24]),
        "e": ("U8", [24, 29]),
    }
    assert fp8_checkpoint.parse_header("f", head[8:])["d"] == {"name": "d", **tensor("BF16", 3, 1)}


def test_files() -> None:
    index = {"weight_map": {"a": "m-1.safetensors", "b": "m-2.safetensors", "c": "m-1.safetensors"}}
    paths = [
        "m-1.safetensors",
        "m-2.safetensors",
        "consolidated.safetensors",
        "config.json",
        "x/y.py",
        "tokenizer.model",
    ]
    assert shards.weight_files(paths, index) == ["m-1.safetensors", "m-2.safetensors"]
    assert shards.weight_files(["a/b.safetensors", "m.safetensors"], None) == ["m.safetensors"]
    copied, left = fp8_checkpoint.other_files(
        [*paths, "hf_quant_config.json", "m.bin.index.json"], ["m-1.safetensors", "m-2.safetensors"]
    )
    assert (copied, left) == (["tokenizer.model", "x/y.py"], ["consolidated.safetensors", "m.bin.index.json"])


@given(st.dictionaries(st.text(min_size=1), st.integers(1, 10**10), max_size=200), st.integers(1, 20))
def test_shares(sizes: dict[str, int], ranks: int) -> None:
    shares = fp8_checkpoint.shares(sizes, ranks)
    assert sorted(name for names in shares for name in names) == sorted(sizes)
    if sizes:
        loads = [sum(sizes[name] for name in names) for names in shares]
        assert max(loads) <= sum(sizes.values()) / ranks + max(sizes.values())
