# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Multiplies the FP8 weights of safetensors files with their scales and writes them in BF16.

A program of its own, run with the interpreter of an engine's environment (Python 3.9 or newer, torch, safetensors):

    python worker.py JOB.json

It gets no other file, so it imports nothing of this collection; ``conversion`` writes the job. A shard of the source is read
once to be hashed (what is converted is what was fetched), and is then in the page cache for safetensors, which reads its tensors
through a memory map. The library writes a file only from tensors that are all in memory, so a shard of the result, whose header
comes with the job, is written here, a piece at a time: beside its place, hashed on the way (the manifest needs no second
reading), opened once by the library, renamed, and recorded. Killed at any moment, it leaves whole shards and one unfinished
file per thread that is not taken for a shard. Memory of its own: a few pieces per thread.

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
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    import torch
    from safetensors import safe_open
else:
    torch = safe_open = None  # by load_libraries

READ_BYTES = 1 << 20  # hashed while a core's own cache still has it
PIECE_BYTES = 2 << 20  # of codes; the result, twice that, is still in the shared cache when it is hashed and written
PUSH_BYTES = 8 << 20  # written before the disk starts to write
CACHE_ELEMENTS = {"cpu": 1 << 18, "cuda": PIECE_BYTES}  # of one multiplication: a core's own cache; a whole piece
NAN_CODE = 0x7F
FLOAT16_FACTOR = 256.0
FLOAT16_BITS = 0xBF80 - (1 << 16)  # sign and the seven bits, as int16
ORDINARY = (2.0**-100, 2.0**100)  # scales for which no code leaves float32's normal numbers
SIGNIFICANDS = (8, 16)  # of the codes: from, to
MOST_THREADS = 16
PROGRESS_SECONDS = 1.0


def load_libraries() -> None:
    """Import PyTorch and safetensors: here, for the module that sends this program imports the file too. Raises ImportError."""
    global torch, safe_open  # noqa: PLW0603
    import torch  # noqa: PLC0415
    from safetensors import safe_open  # noqa: PLC0415


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
    product = scale.to(torch.float64).unsqueeze(-1) * torch.arange(
        *SIGNIFICANDS, dtype=torch.float64, device=scale.device
    )
    single = product.to(torch.float32)
    tie = (single.view(torch.int32).bitwise_and(0xFFFF) == 0x8000) & (single != product)
    return tie.any(-1) | ~ordinary


class Multiplier:
    """codes (uint8, rows x columns) x scale, into BF16, with memory of its own that is used again and again."""

    def __init__(self, device: str) -> None:
        self.device, self.elements = device, CACHE_ELEMENTS[device]
        self.bits = torch.empty(0, dtype=torch.uint8, device=device)
        self.half = torch.empty(0, dtype=torch.int16, device=device)
        self.single = torch.empty(0, dtype=torch.float32, device=device)

    def __call__(self, codes: torch.Tensor, scale: torch.Tensor, special: torch.Tensor, out: torch.Tensor) -> None:
        """``scale`` and ``special`` (where the exact way must be taken): one row for all, or one for each; one column or all."""
        rows, columns = codes.shape
        step = max(1, self.elements // columns)
        if self.half.shape[1:] != (columns,) or len(self.half) < step:
            self.bits = self.bits.new_empty(step, columns)
            self.half = self.half.new_empty(step, columns)
            self.single = self.single.new_empty(step, columns)
        factor = scale * FLOAT16_FACTOR
        for begin in range(0, rows, step):
            part = slice(begin, min(begin + step, rows))
            count = part.stop - begin
            bits, half, single = self.bits[:count], self.half[:count], self.single[:count]
            if int(torch.bitwise_and(codes[part], NAN_CODE, out=bits).max()) == NAN_CODE:
                out[part].copy_(exact_product(codes[part], scale[part] if len(scale) > 1 else scale))
                continue
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

    def __init__(self, stored: torch.Tensor, layout: dict[str, Any], device: str) -> None:
        if layout["dtype"] == "F8_E8M0":  # 2^(code - 127), NaN for 255 (OCP Microscaling Formats, E8M0)
            codes = stored.view(torch.uint8)
            values = torch.pow(2.0, codes.to(torch.float64) - 127).to(torch.float32)
            values[codes == 255] = torch.nan
        else:
            values = stored.to(torch.float32)
        self.values = values.reshape(layout["grid"]).to(device)
        self.special = needs_exact(self.values)
        _unused, self.rows, self.columns = layout["weight"]
        self.planes_each, self.rows_each, self.columns_each = layout["cover"]

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
    """What all threads did: a small file of the shape that the fetch and the transfer write too, replaced every second."""

    def __init__(self, path: str, total: int, files: int) -> None:
        self.path, self.total, self.files = path, total, files
        self.bytes = self.files_done = 0
        self.lock = threading.Lock()
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.write("converting")
        self.thread.start()

    def add(self, count: int) -> None:
        with self.lock:
            self.bytes += count

    def file_done(self) -> None:
        with self.lock:
            self.files_done += 1

    def write(self, phase: str, error: str = "") -> None:
        state = {
            "phase": phase,
            "bytes": self.bytes,
            "total": self.total,
            "files_done": self.files_done,
            "files": self.files,
            "error": error,
            "at": time.time(),
        }
        work = Path(f"{self.path}.new")
        work.write_text(json.dumps(state), encoding="utf-8")
        work.replace(self.path)

    def _run(self) -> None:
        while not self.over.wait(PROGRESS_SECONDS):
            self.write("converting")

    def end(self, error: str = "") -> None:
        self.over.set()
        self.thread.join()
        if not error:
            self.bytes = self.total  # which counts the headers of the files too
        self.write("failed" if error else "done", error)


def hash_file(path: Path) -> str:
    """The sha256 of a file."""
    total, buffer = hashlib.sha256(), memoryview(bytearray(READ_BYTES))
    with path.open("rb", buffering=0) as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)
        while count := file.readinto(buffer):
            total.update(buffer[:count])
    return total.hexdigest()


class Source:
    """The tensors of the source's files, read by safetensors through memory maps."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files: dict[str, Any] = {}

    def tensor(self, file: str, name: str) -> torch.Tensor:
        if file not in self.files:
            self.files[file] = safe_open(str(self.root / file), framework="pt")
        return self.files[file].get_tensor(name)


class Sink:
    """A file that is written from begin to end, and hashed.

    The disk begins while the rest is computed, not at the end with fsync. What it has leaves the page cache: the next pieces get
    the same memory, which costs the kernel less than fresh pages, and what else the node has cached stays.
    """

    def __init__(self, path: Path) -> None:
        self.file: BinaryIO = path.open("wb", buffering=0)
        self.hash = hashlib.sha256()
        self.size = self.pushed = 0
        self.buffer = bytearray(2 * PIECE_BYTES)

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
        if self.size - self.pushed >= PUSH_BYTES:
            self.pushed = self.size
            # begins to write what is dirty, and drops what is written: posix_fadvise(2)
            os.posix_fadvise(self.file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def convert_shard(shard: dict[str, Any], job: dict[str, Any], device: str, report: Callable[[int], None]) -> None:
    """One file, from the first byte to its record."""
    root, target, work = Path(job["source"]), Path(job["target"]), Path(job["work"])
    found = hash_file(root / shard["path"])
    if found != shard["sha256"]:
        raise ValueError(
            f"{root / shard['path']}: sha256 {found}, its manifest lists {shard['sha256']}: fetch it again"
        )
    unfinished = work / shard["partial"]
    source, sink, multiply = Source(root), Sink(unfinished), Multiplier(device)
    with sink.file:
        sink.write(shard["head"].encode("latin-1"))
        for name, scale in shard["tensors"].items():
            tensor = source.tensor(shard["path"], name)
            if scale:
                values = source.tensor(scale["file"], scale["name"])
                convert_tensor(tensor, Scale(values, scale, device), sink, multiply, report)
            else:
                copy_tensor(tensor, sink, report)
        if sink.size != shard["size"]:
            raise ValueError(f"{unfinished}: {sink.size} bytes, {shard['size']} were expected")
        os.fsync(sink.file.fileno())
    with safe_open(str(unfinished), framework="pt") as opened:  # reads and checks the header only
        opened.keys()
    unfinished.chmod(0o644)
    place = target / shard["path"]
    place.parent.mkdir(parents=True, exist_ok=True)
    unfinished.replace(place)
    sync_folder(place.parent)
    record = {"identity": job["identity"], "path": shard["path"], "size": sink.size, "sha256": sink.hash.hexdigest()}
    fresh = work / f"{shard['record']}.new"
    fresh.write_text(json.dumps(record), encoding="utf-8")
    fresh.replace(work / shard["record"])
    sync_folder(work)


def copy_tensor(tensor: torch.Tensor, sink: Sink, report: Callable[[int], None]) -> None:
    """A tensor that stays as it is."""
    for piece in tensor.reshape(-1).view(torch.uint8).split(PIECE_BYTES):
        sink.write(piece.numpy())
        report(len(piece))


def convert_tensor(
    tensor: torch.Tensor, scale: Scale, sink: Sink, multiply: Multiplier, report: Callable[[int], None]
) -> None:
    """One weight, from its codes to BF16 in ``sink``."""
    if not tensor.numel():
        return
    device, row = multiply.device, 0
    for piece in tensor.view(torch.uint8).reshape(-1, scale.columns).split(max(1, PIECE_BYTES // scale.columns)):
        codes = piece.to(device)
        memory = sink.memory(2 * codes.numel())
        written = torch.frombuffer(memory, dtype=torch.bfloat16).view(codes.shape)
        out = written if device == "cpu" else torch.empty_like(written, device=device)
        for begin, count, factors, special in scale.pieces(row, len(codes)):
            part = slice(begin - row, begin - row + count)
            multiply(codes[part], factors, special, out[part])
        if out is not written:
            written.copy_(out)
        row += len(codes)
        sink.write(memory)
        report(len(memory))


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
    progress = Progress(job["progress"], sum(shard["size"] for shard in job["shards"]), len(job["shards"]))
    errors: list[str] = []

    def work() -> None:
        while not errors:
            try:
                shard = shards.get_nowait()
            except queue.Empty:
                return
            try:
                convert_shard(shard, job, device, progress.add)
                progress.file_done()
            except Exception as error:
                errors.append(f"{shard['path']}: {type(error).__name__}: {error}")

    # one more than processors: while one waits for the disk, another computes
    wanted = job["threads"] or min(MOST_THREADS, len(os.sched_getaffinity(0)) + 1)
    threads = [threading.Thread(target=work) for _unused in range(min(wanted, len(job["shards"])))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    progress.end(errors[0] if errors else "")
    return errors[0] if errors else ""


def main() -> str:
    """The error in words; empty when there was none."""
    try:
        load_libraries()
    except ImportError as error:
        return f"{sys.executable}: {error}; model_convert_python names an interpreter that has it"
    return run(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))


if __name__ == "__main__":
    raise SystemExit(main() or None)
