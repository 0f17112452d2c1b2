#!/usr/bin/env python3
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What converting FP8 to BF16 costs, against reading and writing the same bytes and against a loop over tensors (`make bench`).

In turns, several times: a plain copy (reads the checkpoint, writes as many bytes as the result has, on the same disk), the
converter, and the naive loop of the published scripts (load a shard, multiply each tensor, save it, then hash it for the
manifest). Medians and ratios; every write is followed by fsync, and the page cache is asked to forget the source before each
turn. The machine may be busy with other things, so ratios are taken within a round. The converter also hashes what it reads.

    convert.py [FOLDER]      where to put about 1 GB for the time of the measurement (default: .cache/bench)
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(CHECKOUT), str(CHECKOUT / "tests/unit")]
import conftest  # noqa: F401 - makes the collection importable
from ansible_collections.fullrank.serving.plugins.module_utils.weights import folder as weights_folder
from ansible_collections.fullrank.serving.plugins.module_utils.weights.convert import conversion
from ansible_collections.fullrank.serving.plugins.module_utils.weights.convert.fp8_checkpoint import Scheme

from tests.unit import fp8_model

ROUNDS = 15  # the disk of a virtual machine is a different one from second to second
SHARDS, ROWS, COLUMNS = 12, 7168, 4096  # 29 MB of FP8 each
PROGRAM = CHECKOUT / "plugins/module_utils/weights/convert/worker.py"
PYTHON = os.environ["FULLRANK_VLLM_PYTHON"]
RESULTS = CHECKOUT / ".cache/bench/convert.json"
# Both run in one process that has loaded torch before the clock starts: importing it is not what is measured.
CHILD = """
import hashlib, json, os, sys, time, importlib.util
from pathlib import Path
import torch
from safetensors.torch import load_file, save_file
spec = importlib.util.spec_from_file_location("worker", sys.argv[1])
worker = importlib.util.module_from_spec(spec)
spec.loader.exec_module(worker)
worker.load_libraries()

def naive(source, target):
    torch.set_num_threads(os.cpu_count())
    files = sorted(Path(source).glob("*.safetensors"))
    scales = {}
    for path in files:
        scales.update({k: v for k, v in load_file(path).items() if k.endswith("_scale_inv")})
    for path in files:
        new = {}
        for name, weight in load_file(path).items():
            if weight.dtype == torch.float8_e4m3fn:
                scale = scales[name + "_scale_inv"].repeat_interleave(128, 0).repeat_interleave(128, 1)
                rows, columns = weight.shape
                new[name] = (weight.to(torch.float32) * scale[:rows, :columns]).to(torch.bfloat16)
            elif not name.endswith("_scale_inv"):
                new[name] = weight
        out = Path(target) / path.name
        save_file(new, out)
        with out.open("rb") as file:
            hashlib.file_digest(file, "sha256")
            os.fsync(file.fileno())

for line in sys.stdin:
    what, argument, target = json.loads(line)
    began, cpu = time.monotonic(), time.process_time()
    if what == "naive":
        naive(argument, target)
    else:
        error = worker.run(json.loads(Path(argument).read_text()))
        assert not error, error
    print(json.dumps([time.monotonic() - began, time.process_time() - cpu]), flush=True)
"""


def forget(folder: Path) -> None:
    """Take the files out of the page cache."""
    for path in folder.glob("*.safetensors"):
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def plain_copy(source: Path, target: Path, sizes: dict[str, int]) -> list[float]:
    """Read each file and write as many bytes as its result has. Seconds, and CPU-seconds."""
    began, cpu = time.monotonic(), time.process_time()
    for name, size in sizes.items():
        with (source / name).open("rb", buffering=0) as read, (target / name).open("wb", buffering=0) as write:
            buffer = bytearray(8 << 20)
            left = size
            while count := read.readinto(buffer):
                for _ in range(2):
                    piece = memoryview(buffer)[: min(count, left)]
                    left -= write.write(piece)
            os.fsync(write.fileno())
    return [time.monotonic() - began, time.process_time() - cpu]


def main(place: Path) -> None:
    place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place) as name:
        source, target = Path(name) / "fp8", Path(name) / "bf16"
        print(f"-- a checkpoint of {SHARDS} shards, {SHARDS * ROWS * COLUMNS / 1e9:.2f} GB of FP8", flush=True)
        fp8_model.make(source, SHARDS, ROWS, COLUMNS)
        work = conversion.look(source, Scheme("fp8", (128, 128)))
        sizes = {shard["path"]: shard["size"] for shard in work.shards}
        moved = sum(sizes.values()) + sum(weights_folder.sizes(source)[path] for path in sizes)
        with subprocess.Popen(
            [PYTHON, "-c", CHILD, str(PROGRAM)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as child:
            assert child.stdin and child.stdout
            pipe_in, pipe_out = child.stdin, child.stdout

            def ask(what: str, argument: Path) -> list[float]:
                pipe_in.write(json.dumps([what, str(argument), str(target)]) + "\n")
                pipe_in.flush()
                return list(json.loads(pipe_out.readline()))

            def convert() -> list[float]:
                folder = conversion.write_job(work, target, work.shards, "", rank=0, device="cpu", threads=0)
                return ask("convert", folder / conversion.job_name(0))

            turns: dict[str, Callable[[], list[float]]] = {
                "plain": lambda: plain_copy(source, target, sizes),
                "convert": convert,
                "naive": lambda: ask("naive", source),
            }
            seconds: dict[str, list[float]] = {what: [] for what in turns}
            cpu: dict[str, list[float]] = {what: [] for what in turns}
            for number in range(ROUNDS):
                for what, call in turns.items():
                    shutil.rmtree(target, ignore_errors=True)
                    target.mkdir()
                    forget(source)
                    took, computed = call()
                    seconds[what].append(took)
                    cpu[what].append(computed)
                    print(f"   round {number + 1}: {what} {moved / 1e6 / seconds[what][-1]:.0f} MB/s", flush=True)
            pipe_in.close()
    medians = {what: statistics.median(values) for what, values in seconds.items()}
    rates = {what: moved / 1e6 / value for what, value in medians.items()}
    share = statistics.median(a / b for a, b in zip(seconds["plain"], seconds["convert"], strict=True))
    faster = statistics.median(a / b for a, b in zip(seconds["naive"], seconds["convert"], strict=True))
    print(
        f"\nread + written, medians of {ROUNDS}: "
        + ", ".join(f"{what} {rate:.0f} MB/s" for what, rate in rates.items())
    )
    costs = {what: statistics.median(values) / moved * 1e9 for what, values in cpu.items()}
    print("CPU-seconds per GB read + written: " + ", ".join(f"{what} {one:.2f}" for what, one in costs.items()))
    busy = statistics.median(a / b for a, b in zip(cpu["convert"], seconds["convert"], strict=True))
    print(f"while it converts, it has {busy:.2f} of {len(os.sched_getaffinity(0))} processors")
    print(f"the converter reaches {100 * share:.0f} % of a plain read + write, {faster:.1f} times the naive loop")
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(
        json.dumps({"seconds": seconds, "cpu": cpu, "moved": moved, "share_of_plain": share, "times_naive": faster})
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else CHECKOUT / ".cache/bench")
