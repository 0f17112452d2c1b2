# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs in an engine's environment for test_worker.py: converts the tensors of each request, a JSON line each.

argv: the path of worker.py. It goes the worker's whole way, from a file to a file, with pieces as small as requested.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import save_file

spec = importlib.util.spec_from_file_location("convert_worker", sys.argv[1])
assert spec and spec.loader
worker = importlib.util.module_from_spec(spec)
spec.loader.exec_module(worker)
worker.load_libraries()

CODES = torch.float8_e4m3fn
SCALES = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16, "F8_E8M0": torch.float8_e8m0fnu}


def tensor(raw: str, dtype: torch.dtype, shape: list[int]) -> torch.Tensor:
    return torch.frombuffer(bytearray.fromhex(raw), dtype=dtype).reshape(shape)


with tempfile.TemporaryDirectory() as name:
    folder = Path(name)
    for line in sys.stdin:
        request = json.loads(line)
        worker.PIECE_BYTES = request["piece_bytes"]
        worker.CACHE_ELEMENTS = {"cpu": request["cache_elements"]}
        laid = request["laid"]
        scale = tensor(request["scale"], SCALES[laid["dtype"]], laid["shape"])
        save_file({"w": tensor(request["codes"], CODES, request["shape"]), "w_scale": scale}, folder / "source")
        source, sink, counted = worker.Source(folder), worker.Sink(folder / "target"), []
        with sink.file:
            scales = worker.Scale(source.tensor("source", "w_scale"), laid, "cpu")
            worker.convert_tensor(source.tensor("source", "w"), scales, sink, worker.Multiplier("cpu"), counted.append)
        answer = {
            "out": (folder / "target").read_bytes().hex(),
            "written": sink.hash.hexdigest(),
            "counted": sum(counted),
        }
        print(json.dumps(answer), flush=True)
