# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Quantize a model to FP8 with scales of 128 x 128 blocks, as DeepSeek and Qwen publish it: ``fp8_model.py MODEL DIRECTORY``.

A stand-in for a published FP8 checkpoint. Two shards; scales are spread over both, so that some are in another file than their
weight. Runs with the Python of an engine's environment, without a network. ``compare MODEL FP8 BF16`` prints, as JSON, the logits
of the BF16 folder as transformers loads it, those of the FP8 checkpoint as dequantized here in float64, and of the original.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

BLOCK = 128
LARGEST = 448.0
PROMPT = [[1, 7, 300, 42, 5, 99, 100, 2]]


def blocks(weight: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """The scale of each element."""
    wide = scale.repeat_interleave(BLOCK, 0).repeat_interleave(BLOCK, 1)
    return wide[: weight.shape[0], : weight.shape[1]]


def quantize(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    rows, columns = (-(-size // BLOCK) for size in weight.shape)
    scale = torch.empty(rows, columns)
    for row in range(rows):
        for column in range(columns):
            part = weight[row * BLOCK : (row + 1) * BLOCK, column * BLOCK : (column + 1) * BLOCK]
            scale[row, column] = part.abs().max() / LARGEST
    return (weight / blocks(weight, scale)).to(torch.float8_e4m3fn), scale


def make(model: Path, directory: Path) -> None:
    directory.mkdir(parents=True)
    tensors: dict[str, torch.Tensor] = {}
    for name, weight in load_file(model / "model.safetensors").items():
        if name.endswith("_proj.weight"):
            tensors[name], tensors[f"{name}_scale_inv"] = quantize(weight.float())
        else:
            tensors[name] = weight.to(torch.bfloat16)
    names = sorted(tensors)
    halves = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for file, chosen in halves.items():
        save_file({name: tensors[name] for name in chosen}, directory / file, {"format": "pt"})
    index = {
        "metadata": {"total_size": sum(one.nbytes for one in tensors.values())},
        "weight_map": {name: file for file, chosen in halves.items() for name in chosen},
    }
    (directory / "model.safetensors.index.json").write_text(json.dumps(index))
    config = json.loads((model / "config.json").read_text())
    quantization = {
        "quant_method": "fp8",
        "fmt": "e4m3",
        "activation_scheme": "dynamic",
        "weight_block_size": [BLOCK, BLOCK],
        "modules_to_not_convert": ["lm_head"],
    }
    config |= {"dtype": "bfloat16", "quantization_config": quantization}
    (directory / "config.json").write_text(json.dumps(config))
    for path in model.iterdir():
        if path.suffix != ".safetensors" and path.name != "config.json":
            shutil.copy(path, directory / path.name)
    for file in directory.iterdir():
        file.chmod(0o644)


def dequantized(fp8: Path) -> dict[str, torch.Tensor]:
    """In float64, rounded to BF16 by way of float32 (the double rounding is beyond what logits show)."""
    tensors = {name: one for path in fp8.glob("*.safetensors") for name, one in load_file(path).items()}
    weights = {}
    for name, weight in tensors.items():
        if weight.dtype == torch.float8_e4m3fn:
            scale = tensors[f"{name}_scale_inv"]
            weights[name] = (weight.double() * blocks(weight, scale).double()).float().to(torch.bfloat16)
        elif not name.endswith("_scale_inv"):
            weights[name] = weight
    return weights


def logits(folder: Path, weights: dict[str, torch.Tensor] | None = None) -> torch.Tensor:
    # computed in float32, which holds BF16 weights exactly: not every processor multiplies BF16 matrices
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    if weights is not None:
        model.load_state_dict(weights)
    with torch.no_grad():
        return model(torch.tensor(PROMPT)).logits[0].float()


def compare(model: Path, fp8: Path, bf16: Path) -> None:
    converted, wanted, original = logits(bf16), logits(bf16, dequantized(fp8)), logits(model)
    answer = {
        "equal": torch.equal(converted, wanted),
        "to_original": float((converted - original).abs().max()),
        "size": float(original.abs().max()),
        "same_tokens": torch.equal(converted.argmax(-1), wanted.argmax(-1)),
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    if sys.argv[1] == "compare":
        compare(*map(Path, sys.argv[2:]))
    else:
        make(Path(sys.argv[1]), Path(sys.argv[2]))
