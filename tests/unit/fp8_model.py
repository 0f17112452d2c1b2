# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for a published FP8 checkpoint, in the real format, written without any library.

Random codes, block scales, tensors that stay in 16 bit, scales in another file than their weights, and what else lies there.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.weights import folder as weights_folder
from ansible_collections.fullrank.serving.plugins.module_utils.weights import manifest

BLOCK = 128
SOURCE = {"hub": "path", "repo": "stand-in", "revision": "1" * 40}
Tensors = dict[str, tuple[str, list[int], bytes]]


def safetensors(tensors: Tensors) -> bytes:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    position = 0
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [position, position + len(data)]}
        position += len(data)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + b"".join(data for _, _, data in tensors.values())


def read_safetensors(path: Path) -> Tensors:
    raw = path.read_bytes()
    count = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + count])
    data = raw[8 + count :]
    found = {
        name: (one["dtype"], one["shape"], data[slice(*one["data_offsets"])])
        for name, one in header.items()
        if name != "__metadata__"
    }
    assert sum(len(one[2]) for one in found.values()) == len(data)
    return found


def make(folder: Path, shards: int = 3, rows: int = 200, columns: int = 330) -> dict[str, tuple[list[float], int]]:
    """Write the folder, READY; the scales of each FP8 weight, and how many of them are in a row."""
    rng = random.Random(rows)
    files: dict[str, Tensors] = {f"model-{one + 1:05}-of-{shards:05}.safetensors": {} for one in range(shards)}
    names, scales, wide = list(files), {}, math.ceil(columns / BLOCK)
    for number, name in enumerate(names):
        weight = f"model.layers.{number}.mlp.up_proj.weight"
        values = [rng.uniform(1e-5, 1e-3) for _ in range(math.ceil(rows / BLOCK) * wide)]
        packed = struct.pack(f"<{len(values)}f", *values)
        scales[weight] = (list(struct.unpack(f"<{len(values)}f", packed)), wide)
        codes = rng.randbytes(rows * columns).replace(b"\x7f", b"\x01").replace(b"\xff", b"\x02")
        # the scale of the first layer is in the last file
        files[names[number - 1]][f"{weight}_scale_inv"] = ("F32", [len(values) // wide, wide], packed)
        files[name][f"model.layers.{number}.input_layernorm.weight"] = ("BF16", [columns], rng.randbytes(2 * columns))
        files[name][weight] = ("F8_E4M3", [rows, columns], codes)
    files[names[0]]["model.layers.0.self_attn.k_scale"] = ("F32", [], struct.pack("<f", 1.0))
    contents = {name: safetensors(tensors) for name, tensors in files.items()}
    weight_map = {tensor: name for name, tensors in files.items() for tensor in tensors}
    config = {
        "model_type": "stand-in",
        "torch_dtype": "bfloat16",
        "quantization_config": {"quant_method": "fp8", "fmt": "e4m3", "weight_block_size": [BLOCK, BLOCK]},
    }
    contents["config.json"] = json.dumps(config).encode()
    contents["model.safetensors.index.json"] = json.dumps(
        {"metadata": {"total_size": 1}, "weight_map": weight_map}
    ).encode()
    contents |= {"tokenizer.json": b"{}", "code/modeling.py": b"pass\n", "pytorch_model.bin": b"old"}
    write(folder, contents)
    return scales


def write(folder: Path, contents: Mapping[str, bytes]) -> None:
    files = []
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
        files.append({"path": name, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()})
    weights_folder.write_manifest(folder, manifest.build(SOURCE, files))
    weights_folder.mark_ready(folder)
