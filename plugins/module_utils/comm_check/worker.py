# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All-reduce and pairwise exchange between the processes of a group: is what arrives right, and how fast does it come?

A program of its own, run by torchrun (or mpirun) with the interpreter of the engine's environment on every node at once:

    torchrun --nproc-per-node 2 worker.py '{"backend": "gloo"}'

It gets no other file, so it imports nothing of this collection. Pairs come first: where data gets stuck, the pair is known.
What it finds are lines on standard output, MARK and JSON:

    start       rank, node, nodes, processes (per node), backend, torch
    pair        nodes, process (its number on the node), bytes, seconds (both directions at once), latency; from the lower node
    all_reduce  bytes, seconds (of one, the slowest rank's), from rank 0
    wrong       rank, at, count: elements that did not arrive as they should
    error       rank, at, text
    end         rank

It contains no dollar sign: systemd would take it for a variable when the program stands on a command line.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from statistics import median
from typing import Any

MARK = "FULLRANK-COMM "
OPTIONS: dict[str, Any] = {
    "backend": "gloo",
    "sizes": [2**10, 2**16, 2**20, 2**22, 2**24, 2**26],  # bytes
    "seconds": 1.0,  # for the repetitions of one size; a size for which one transfer would take longer is left out
    "timeout": 60,  # seconds after which a transfer that does not end is an error
    "vllm": False,  # also vLLM's own communicator, with and without a CUDA graph
}
FLOAT_BYTES = 4
PERIOD = 251  # prime, so that a block that is shifted or repeated does not look right
MOST_REPETITIONS = 20
STEADY_BYTES = 2**20  # from here on a transfer's time grows with its size; below, latency rules
WAITING = "waiting for the other pairs"
HERE = {"at": "start"}


def tell(kind: str, **fields: Any) -> None:
    """One line in one write: lines of several processes on one pipe stay whole (pipe(7), PIPE_BUF)."""
    os.write(1, f"\n{MARK}{json.dumps({'kind': kind, **fields})}\n".encode())


def rounds(count: int) -> list[list[tuple[int, int]]]:
    """Every pair of ``count`` nodes once, in rounds in which no node has two partners (the circle method of tournaments)."""
    seats: list[int | None] = [*range(count), *([None] if count % 2 else [])]
    plan = []
    for _unused in range(len(seats) - 1):
        half = len(seats) // 2
        facing = [(seats[i], seats[-1 - i]) for i in range(half)]
        plan.append(sorted((min(a, b), max(a, b)) for a, b in facing if a is not None and b is not None))
        seats = [seats[0], seats[-1], *seats[1:-1]]
    return plan


def ladder(
    sizes: Sequence[int],
    seconds: float,
    step: Callable[[int], Callable[[], float]],
    agree: Callable[[float], float],
) -> Iterator[tuple[int, float]]:
    """(bytes, seconds of one transfer) for every size, the small ones first, as far as the time allows.

    step: makes what is transferred for a size and returns the transfer, which gives the seconds it took.
    agree: the largest of all partners' numbers. All decide by agreed numbers, so that none waits for a transfer which the other
    does not make.
    """
    done, taken = 0, 0.0
    for size in sorted(sizes):
        if done >= STEADY_BYTES and taken * size / done > seconds:
            break
        transfer = step(size)
        first = agree(transfer())  # not counted: connections are made and buffers registered on first use
        repetitions = max(1, min(MOST_REPETITIONS, int(seconds / max(first, 1e-9))))
        done, taken = size, agree(median(transfer() for _unused in range(repetitions)))
        yield done, taken


class Group:
    """This process among all others."""

    def __init__(self, options: dict[str, Any]) -> None:
        import torch  # noqa: PLC0415 (the controller and the module have none)
        import torch.distributed as dist  # noqa: PLC0415

        self.torch, self.dist, self.options = torch, dist, options
        backend = options["backend"]
        if not getattr(dist, f"is_{backend}_available")():
            raise RuntimeError(f"torch {torch.__version__} of {sys.executable} was built without {backend}")
        by_mpi = backend == "mpi"
        self.process = int(os.environ["OMPI_COMM_WORLD_LOCAL_RANK" if by_mpi else "LOCAL_RANK"])
        self.processes = int(os.environ["OMPI_COMM_WORLD_LOCAL_SIZE" if by_mpi else "LOCAL_WORLD_SIZE"])
        self.device = torch.device("cpu")
        if backend == "nccl":
            if torch.cuda.device_count() < self.processes:
                raise RuntimeError(f"{torch.cuda.device_count()} GPUs are visible to {self.processes} processes")
            self.device = torch.device("cuda", self.process)
            torch.cuda.set_device(self.device)
        dist.init_process_group(backend, timeout=timedelta(seconds=options["timeout"]))
        # ranks wait for each other on a group of its own: one that only waits must not give up before those that are stuck
        patient = timedelta(seconds=2 * options["timeout"])
        self.all = None if by_mpi else dist.new_group(backend="gloo", timeout=patient)
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        self.node, self.nodes = self.rank // self.processes, self.size // self.processes

    def wait(self) -> None:
        """A GPU works on behind our back; time is taken when it is done."""
        if self.device.type == "cuda":
            self.torch.cuda.synchronize(self.device)

    def zeros(self, size: int) -> Any:
        return self.torch.zeros(max(1, size // FLOAT_BYTES), device=self.device)

    def pattern(self, size: int, rank: int) -> Any:
        """What ``rank`` sends. Small whole numbers: their sums are exact in float32 for up to 66,000 ranks."""
        return (
            self.torch.arange(max(1, size // FLOAT_BYTES), device=self.device).remainder(PERIOD).float() + rank % PERIOD
        )

    def compare(self, arrived: Any, expected: Any) -> None:
        if count := int((arrived != expected).sum()):
            tell("wrong", rank=self.rank, at=HERE["at"], count=count)

    def clocked(self, transfer: Callable[[], None]) -> float:
        self.wait()
        started = time.perf_counter()
        transfer()
        self.wait()
        return time.perf_counter() - started

    def agree(self, value: float) -> float:
        """The largest of all ranks' values."""
        shared = self.torch.tensor([value], dtype=self.torch.float64)
        self.dist.all_reduce(shared, op=self.dist.ReduceOp.MAX, group=self.all)
        return float(shared)

    def exchange(self, peer: int, out: Any, into: Any) -> None:
        ops = [self.dist.P2POp(self.dist.isend, out, peer), self.dist.P2POp(self.dist.irecv, into, peer)]
        for request in self.dist.batch_isend_irecv(ops):
            request.wait()


def all_reduce(group: Group) -> None:
    """The whole group at once, by size."""

    def step(size: int) -> Callable[[], float]:
        HERE["at"] = f"all-reduce of {size} bytes"
        data = group.pattern(size, group.rank)
        group.dist.all_reduce(data)
        plain, offsets = group.pattern(size, 0), sum(rank % PERIOD for rank in range(group.size))
        group.compare(data, plain * group.size + offsets)
        zeros = group.zeros(size)
        return lambda: group.clocked(lambda: group.dist.all_reduce(zeros))

    for size, seconds in ladder(group.options["sizes"], group.options["seconds"], step, group.agree):
        if group.rank == 0:
            tell("all_reduce", bytes=size, seconds=seconds)


def pairs(group: Group) -> None:
    """Every two nodes, all their processes side by side, each with its like: GPU 3 with GPU 3, over the same rail."""
    for matches in rounds(group.nodes):
        group.agree(0.0)
        for match in matches:
            if group.node in match:
                pair(group, match)
        HERE["at"] = WAITING
    group.agree(0.0)


def pair(group: Group, match: tuple[int, int]) -> None:
    other = match[0] + match[1] - group.node
    peer = other * group.processes + group.process

    def agree(value: float) -> float:
        mine = group.torch.tensor([value], dtype=group.torch.float64, device=group.device)
        theirs = group.torch.zeros_like(mine)
        group.exchange(peer, mine, theirs)
        return max(value, float(theirs))

    def step(size: int) -> Callable[[], float]:
        HERE["at"] = f"exchange of {size} bytes with rank {other}"
        into = group.zeros(size)
        group.exchange(peer, group.pattern(size, group.rank), into)
        group.compare(into, group.pattern(size, peer))
        out = group.zeros(size)
        return lambda: group.clocked(lambda: group.exchange(peer, out, into))

    measured = list(ladder(group.options["sizes"], group.options["seconds"], step, agree))
    if group.node == match[0]:
        size, seconds = measured[-1]
        tell("pair", nodes=match, process=group.process, bytes=size, seconds=seconds, latency=measured[0][1])


def vllm_communicator(group: Group) -> None:
    """vLLM's own NCCL communicator, which its ranks use instead of torch's: called directly, then from a CUDA graph."""
    from vllm.distributed.device_communicators.pynccl import PyNcclCommunicator  # noqa: PLC0415

    HERE["at"] = "vLLM's communicator"
    torch, size = group.torch, STEADY_BYTES
    communicator = PyNcclCommunicator(group=group.dist.new_group(backend="gloo"), device=group.device)
    communicator.disabled = False  # up to 0.6.4 it starts disabled (vLLM, usage/troubleshooting)
    stream = torch.cuda.Stream()
    ones = torch.ones(size // FLOAT_BYTES, device=group.device)
    with torch.cuda.stream(stream):
        summed = communicator.all_reduce(ones, stream=stream)
    stream.synchronize()
    group.compare(summed, ones * group.size)

    HERE["at"] = "vLLM's communicator in a CUDA graph"
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        summed = communicator.all_reduce(ones, stream=stream)
    summed.zero_()
    graph.replay()
    group.wait()
    group.compare(summed, ones * group.size)


def check(options: dict[str, Any]) -> None:
    group = Group(options)
    HERE["at"] = "first contact"
    most, fewest = group.agree(group.processes), -group.agree(-group.processes)
    if most != fewest:
        raise RuntimeError(
            f"between {fewest:.0f} and {most:.0f} processes run on a node, {group.processes} on this one"
        )
    tell(
        "start",
        rank=group.rank,
        node=group.node,
        nodes=group.nodes,
        processes=group.processes,
        backend=options["backend"],
        torch=group.torch.__version__,
    )
    group.dist.all_reduce(group.zeros(FLOAT_BYTES))  # NCCL wants everybody in the first call (torch, batch_isend_irecv)
    pairs(group)
    all_reduce(group)
    if options["vllm"] and group.size > 1:  # with one rank it returns None
        vllm_communicator(group)
    tell("end", rank=group.rank)
    group.dist.destroy_process_group()


def main() -> None:
    options = OPTIONS | (json.loads(sys.argv[1]) if len(sys.argv) > 1 else {})
    try:
        check(options)
    except Exception as error:
        lines = str(error).strip().splitlines() or [""]
        tell(
            "error",
            rank=int(os.environ.get("RANK", "-1")),
            at=HERE["at"],
            text=f"{type(error).__name__}: {lines[0][:500]}",
        )
        os._exit(1)  # at once: the libraries' own clean-up may wait for partners that are gone


if __name__ == "__main__":
    main()
