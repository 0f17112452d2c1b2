"""Runs in an engine's environment for test_convert_numbers.py: converts the tensors it is told of, a JSON line each.

argv: the path of convert_worker.py. It goes the worker's whole way, from a file to a file, with pieces as small as asked.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import tempfile
from pathlib import Path

spec = importlib.util.spec_from_file_location("convert_worker", sys.argv[1])
assert spec and spec.loader
worker = importlib.util.module_from_spec(spec)
spec.loader.exec_module(worker)

with tempfile.TemporaryDirectory() as name:
    folder = Path(name)
    for line in sys.stdin:
        asked = json.loads(line)
        worker.READ_BYTES = asked["read_bytes"]
        worker.CACHE_ELEMENTS = {"cpu": asked["cache_elements"]}
        scale, codes = bytes.fromhex(asked["scale"]), bytes.fromhex(asked["codes"])
        (folder / "source").write_bytes(scale + codes)
        given = {key: asked[key] for key in ("dtype", "weight", "grid", "cover")}
        tensor = {
            "begin": len(scale),
            "bytes": len(codes),
            "scale": {**given, "file": "source", "begin": 0, "bytes": len(scale)},
        }
        reader, writer = worker.Source(folder, "source"), worker.Sink(folder / "target")
        said: list[int] = []
        with reader.file, writer.file:
            worker.convert_tensor(tensor, reader, writer, worker.Multiplier("cpu"), said.append)
            digest = reader.digest()
        answer = {
            "out": (folder / "target").read_bytes().hex(),
            "written": writer.hash.hexdigest(),
            "read": digest,
            "said": sum(said),
        }
        print(json.dumps(answer), flush=True)
