# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Multiplies the FP8 weights of safetensors files with their scales and writes them in BF16.

A program of its own, run with the interpreter of an engine's environment (Python 3.9 or newer, torch, safetensors):

    python convert_worker.py JOB.json

It gets no other file, so it imports nothing of this collection; ``conversion`` writes the job. Each shard is streamed:
read once, hashed on the way in (what is converted is what was fetched) and on the way out (the manifest needs no second
reading), written beside its place, opened once by safetensors, renamed, and recorded. Killed at any moment, it leaves
whole shards and one unfinished file per thread that nobody takes for a shard. Memory: two pieces per thread.

**Exact.** BF16 is the product in infinite precision, rounded once, to nearest, ties to even. A code has 4 significant
bits and a scale up to 24: their product does not always fit float32, and rounding it there first and to BF16 then is
wrong where the first rounding ends on a tie of the second. That can be seen from the scale alone, with the eight
significands a code can have; where it may be so, about one block of 10,000, the block is computed in float64. Scales out
of the ordinary (tiny, huge, not finite) are computed that way too.

**Fast.** The seven low bits of an e4m3 code, moved up by seven, are the same number as float16 but for a factor of 256,
subnormal ones included: three vector operations instead of a conversion by table. NaN (0x7F, 0xFF) is the exception and
takes the exact way.
"""

from __future__ import annotations

import hashlib
import json
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors import safe_open

READ_BYTES = 8 << 20  # a piece: long enough for hashing and disks
CACHE_ELEMENTS = {"cpu": 1 << 17, "cuda": 1 << 23}  # of one multiplication: a core's own cache; enough work for a GPU
NAN_CODE = 0x7F
FLOAT16_FACTOR = 256.0
FLOAT16_BITS = 0xBF80 - (1 << 16)  # sign and the seven bits, as int16
ORDINARY = (2.0**-100, 2.0**100)  # scales for which no code leaves float32's normal numbers
DTYPES = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16, "F8_E8M0": torch.uint8}
SIGNIFICANDS = torch.arange(8, 16, dtype=torch.float64)
MOST_THREADS = 16
PROGRESS_SECONDS = 1.0


# ---- numbers


def exact_product(codes: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """codes x scale in BF16, rounded once. Slow: float64."""
    product = codes.view(torch.float8_e4m3fn).to(torch.float64) * scale.to(torch.float64)  # exact: 28 of 53 bits
    single = product.to(torch.float32)
    wrong = torch.isfinite(single) & (single.view(torch.int32).bitwise_and(0xFFFF) == 0x8000) & (single != product)
    # one step towards the exact value takes it off the tie, to the side it belongs to
    step = (product.abs() > single.abs()).to(torch.int32) * 2 - 1
    bits = single.view(torch.int32)
    return torch.where(wrong, bits + step, bits).view(torch.float32).to(torch.bfloat16)


def needs_exact(scale: torch.Tensor) -> torch.Tensor:
    """For each scale (float32), whether some code x scale comes out wrong in float32, or must be expected to."""
    size = scale.abs()
    ordinary = ((size >= ORDINARY[0]) & (size <= ORDINARY[1])) | (size == 0)
    product = scale.to(torch.float64).unsqueeze(-1) * SIGNIFICANDS.to(scale.device)
    single = product.to(torch.float32)
    tie = (single.view(torch.int32).bitwise_and(0xFFFF) == 0x8000) & (single != product)
    return tie.any(-1) | ~ordinary


class Multiplier:
    """codes (uint8, rows x columns) x scale, into BF16, with memory of its own that is used again and again."""

    def __init__(self, device: str) -> None:
        self.device, self.elements = device, CACHE_ELEMENTS[device]
        self.half = torch.empty(0, dtype=torch.int16, device=device)
        self.single = torch.empty(0, dtype=torch.float32, device=device)

    def __call__(self, codes: torch.Tensor, scale: torch.Tensor, special: torch.Tensor, out: torch.Tensor) -> None:
        """``scale`` and ``special`` (where the exact way must be taken): one row for all, or one for each; one column or all."""
        if int((codes & NAN_CODE).max()) == NAN_CODE:
            out.copy_(exact_product(codes, scale))
            return
        rows, columns = codes.shape
        step = max(1, self.elements // columns)
        if self.half.shape[1:] != (columns,) or len(self.half) < step:
            self.half = self.half.new_empty(step, columns)
            self.single = self.single.new_empty(step, columns)
        factor = scale * FLOAT16_FACTOR
        for begin in range(0, rows, step):
            part = slice(begin, min(begin + step, rows))
            count = part.stop - begin
            half, single = self.half[:count], self.single[:count]
            half.copy_(codes[part].view(torch.int8)).mul_(128).bitwise_and_(FLOAT16_BITS)
            single.copy_(half.view(torch.float16)).mul_(factor[part] if len(factor) > 1 else factor)
            out[part].copy_(single)
        if special.any():
            self._correct(codes, scale, special, out)

    def _correct(self, codes: torch.Tensor, scale: torch.Tensor, special: torch.Tensor, out: torch.Tensor) -> None:
        rows = special.any(1).nonzero().flatten() if len(special) > 1 else slice(None)
        columns = special.any(0).nonzero().flatten() if special.shape[1] > 1 else slice(None)
        if isinstance(rows, torch.Tensor):
            codes, scale = codes[rows], scale[rows]
        if isinstance(columns, torch.Tensor):
            codes, scale = codes[:, columns], scale[:, columns]
        right = exact_product(codes.contiguous(), scale)
        if isinstance(rows, torch.Tensor) and isinstance(columns, torch.Tensor):
            out[rows.unsqueeze(1), columns] = right
        elif isinstance(rows, torch.Tensor):
            out[rows] = right
        else:
            out[:, columns] = right


class Scale:
    """The scale of one weight, and which rows of it go together."""

    def __init__(self, given: dict[str, Any], root: Path, device: str) -> None:
        with (root / given["file"]).open("rb", buffering=0) as file:
            raw = bytearray(os.pread(file.fileno(), given["bytes"], given["begin"]))
        if len(raw) != given["bytes"]:
            raise EOFError(f"{given['file']}: ends within a scale")
        stored = torch.frombuffer(raw, dtype=DTYPES[given["dtype"]])
        if given["dtype"] == "F8_E8M0":  # 2^(code - 127), NaN for 255 (OCP Microscaling Formats, E8M0)
            values = torch.pow(2.0, stored.to(torch.float64) - 127).to(torch.float32)
            values[stored == 255] = torch.nan
        else:
            values = stored.to(torch.float32)
        self.values = values.reshape(given["grid"]).to(device)
        self.special = needs_exact(self.values)
        _, self.rows, self.columns = given["weight"]
        self.planes_each, self.rows_each, self.columns_each = given["cover"]

    def pieces(self, first: int, count: int) -> Iterator[tuple[int, int, torch.Tensor, torch.Tensor]]:
        """Rows ``first`` … of all planes, one under the other, in pieces of one kind: begin, count, scale, special."""
        row = first
        while row < first + count:
            plane, inside = divmod(row, self.rows)
            rest = min(self.rows - inside, first + count - row)
            grid, special = self.values[plane // self.planes_each], self.special[plane // self.planes_each]
            if self.rows_each == 1:
                wanted = slice(inside, inside + rest)
            else:
                group = inside // self.rows_each
                wanted = slice(group, group + 1)
                rest = min(rest, (group + 1) * self.rows_each - inside)
            yield row, rest, self._wide(grid[wanted]), self._wide(special[wanted])
            row += rest

    def _wide(self, grid: torch.Tensor) -> torch.Tensor:
        """One column for each of the weight, unless one holds for all."""
        if grid.shape[1] == 1:
            return grid
        return grid.repeat_interleave(self.columns_each, dim=1)[:, : self.columns] if self.columns_each > 1 else grid


# ---- files


class Progress:
    """What all threads did, for people: a small file that is replaced every second."""

    def __init__(self, path: str, total: int) -> None:
        self.path, self.total, self.done, self.began = path, total, 0, time.time()
        self.lock = threading.Lock()
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.write("running")
        self.thread.start()

    def add(self, count: int) -> None:
        with self.lock:
            self.done += count

    def write(self, state: str, error: str = "") -> None:
        words = {
            "state": state,
            "done": self.done,
            "total": self.total,
            "began": self.began,
            "now": time.time(),
            "error": error,
        }
        work = Path(f"{self.path}.new")
        work.write_text(json.dumps(words), encoding="utf-8")
        work.replace(self.path)

    def _run(self) -> None:
        while not self.over.wait(PROGRESS_SECONDS):
            self.write("running")

    def end(self, error: str = "") -> None:
        self.over.set()
        self.thread.join()
        self.write("failed" if error else "done", error)


class Source:
    """A file that is read from begin to end, each byte once, and hashed."""

    def __init__(self, root: Path, name: str) -> None:
        self.root, self.path = root, root / name
        self.file: BinaryIO = self.path.open("rb", buffering=0)
        os.posix_fadvise(self.file.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)
        self.hash = hashlib.sha256()
        self.buffer = bytearray(READ_BYTES)
        self.position = 0
        self.in_order = True

    def pieces(self, begin: int, size: int, most: int) -> Iterator[memoryview]:
        """``size`` bytes from ``begin`` in pieces of at most ``most``."""
        if begin < self.position:
            self.in_order = False
        if self.in_order:
            self.skip_to(begin)
        if most > len(self.buffer):
            self.buffer = bytearray(most)
        for offset in range(begin, begin + size, most):
            view = memoryview(self.buffer)[: min(most, begin + size - offset)]
            self.fill(view, offset)
            if self.in_order:
                self.hash.update(view)
                self.position = offset + len(view)
            yield view

    def skip_to(self, begin: int) -> None:
        """What is not converted is hashed too."""
        while self.position < begin:
            view = memoryview(self.buffer)[: min(READ_BYTES, begin - self.position)]
            self.fill(view, self.position)
            self.hash.update(view)
            self.position += len(view)

    def fill(self, view: memoryview, offset: int) -> None:
        done = 0
        while done < len(view):
            count = os.preadv(self.file.fileno(), [view[done:]], offset + done)
            if not count:
                raise EOFError(f"{self.path}: ends at {offset + done} bytes")
            done += count

    def digest(self) -> str:
        """The sha256 of the whole file."""
        if not self.in_order:
            self.hash, self.position, self.in_order = hashlib.sha256(), 0, True
        self.skip_to(os.fstat(self.file.fileno()).st_size)
        return self.hash.hexdigest()


class Sink:
    """A file that is written from begin to end, and hashed."""

    def __init__(self, path: Path) -> None:
        self.file: BinaryIO = path.open("wb", buffering=0)
        self.hash = hashlib.sha256()
        self.size = 0
        self.buffer = bytearray(2 * READ_BYTES)

    def memory(self, size: int) -> memoryview:
        """Where the next ``size`` bytes can be made, before they are written."""
        if size > len(self.buffer):
            self.buffer = bytearray(size)
        return memoryview(self.buffer)[:size]

    def write(self, data: Any) -> None:
        view = memoryview(data).cast("B")
        self.hash.update(view)
        self.size += len(view)
        while view:
            view = view[self.file.write(view) :]


def convert_shard(shard: dict[str, Any], job: dict[str, Any], device: str, said: Callable[[int], None]) -> None:
    """One file, from the first byte to its record."""
    source, target, work = Path(job["source"]), Path(job["target"]), Path(job["work"])
    unfinished = work / shard["partial"]
    reader, writer = Source(source, shard["path"]), Sink(unfinished)
    multiply = Multiplier(device)
    with reader.file, writer.file:
        writer.write(shard["head"].encode("latin-1"))
        for tensor in shard["tensors"]:
            if tensor["scale"]:
                convert_tensor(tensor, reader, writer, multiply, said)
            else:
                for view in reader.pieces(tensor["begin"], tensor["bytes"], READ_BYTES):
                    writer.write(view)
                    said(len(view))
        found = reader.digest()
        if found != shard["sha256"]:
            raise ValueError(f"{reader.path}: sha256 {found}, its manifest says {shard['sha256']}: fetch it anew")
        if writer.size != shard["size"]:
            raise ValueError(f"{unfinished}: {writer.size} bytes, {shard['size']} were expected")
        os.fsync(writer.file.fileno())
    with safe_open(str(unfinished), framework="pt") as opened:  # reads and checks the header only
        opened.keys()
    unfinished.chmod(0o644)
    place = target / shard["path"]
    place.parent.mkdir(parents=True, exist_ok=True)
    unfinished.replace(place)
    sync_folder(place.parent)
    record = {
        "identity": job["identity"],
        "path": shard["path"],
        "size": writer.size,
        "sha256": writer.hash.hexdigest(),
    }
    fresh = work / f"{shard['record']}.new"
    fresh.write_text(json.dumps(record), encoding="utf-8")
    fresh.replace(work / shard["record"])
    sync_folder(work)


def convert_tensor(
    tensor: dict[str, Any],
    reader: Source,
    writer: Sink,
    multiply: Multiplier,
    said: Callable[[int], None],
) -> None:
    """One weight, from its codes in ``reader`` to BF16 in ``writer``."""
    if not tensor["bytes"]:
        return
    device = multiply.device
    scale = Scale(tensor["scale"], reader.root, device)
    columns, row = scale.columns, 0
    most = max(1, READ_BYTES // columns) * columns
    for view in reader.pieces(tensor["begin"], tensor["bytes"], most):
        codes = torch.frombuffer(view, dtype=torch.uint8).view(-1, columns).to(device)
        memory = writer.memory(2 * len(view))
        written = torch.frombuffer(memory, dtype=torch.bfloat16).view(codes.shape)
        out = written if device == "cpu" else torch.empty_like(written, device=device)
        for begin, count, factors, special in scale.pieces(row, len(codes)):
            part = slice(begin - row, begin - row + count)
            multiply(codes[part], factors, special, out[part])
        if out is not written:
            written.copy_(out)
        row += len(codes)
        writer.write(memory)
        said(2 * len(view))


def sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def run(job: dict[str, Any]) -> str:
    """All shards of the job, several at a time; the first error in words, empty when there was none."""
    device = job["device"]
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_num_threads(1)  # each thread has a shard of its own
    shards: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    for shard in job["shards"]:
        shards.put(shard)
    progress = Progress(job["progress"], sum(shard["size"] for shard in job["shards"]))
    errors: list[str] = []

    def work() -> None:
        while not errors:
            try:
                shard = shards.get_nowait()
            except queue.Empty:
                return
            try:
                convert_shard(shard, job, device, progress.add)
            except Exception as error:
                errors.append(f"{shard['path']}: {type(error).__name__}: {error}")

    # one more than processors: while one waits for the disk, another computes
    wanted = job["threads"] or min(MOST_THREADS, len(os.sched_getaffinity(0)) + 1)
    threads = [threading.Thread(target=work) for _ in range(min(wanted, len(job["shards"])))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    progress.end(errors[0] if errors else "")
    return errors[0] if errors else ""


if __name__ == "__main__":
    sys.exit(run(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))) or None)
