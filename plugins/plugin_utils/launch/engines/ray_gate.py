"""``PROGRAM GPUS PORT ADDRESS...``: wait until every rank is in the Ray cluster, with as many GPUs together as the engine needs.

It runs on the head between ``ray start`` and the engine, by the engine's Python, and needs Ray only. The addresses are those of
the ranks in their order. An engine that finds fewer GPUs than it needs waits for half an hour, and does not say for whom.

While it waits it listens on PORT of this machine, and does nothing with it: that is how the head's supervisor sees that the other
ranks can start. Ray's own port is open before the head has a node in the cluster, and a node that comes earlier gives up.
"""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

LIMIT_S = 300.0
"""The supervisors have started every rank's Ray before they call the rank running, and it takes seconds."""

EVERY_S = 1.0


def missing(nodes: Sequence[Mapping[str, Any]], addresses: Sequence[str], gpus: int) -> tuple[str, bool]:
    """What the engine still lacks, empty when nothing, and whether waiting can help.

    nodes: as ``ray.nodes()`` gives them. addresses: of the ranks. gpus: the sum that is needed.
    """
    ranks = {address: f"rank {rank} ({address})" for rank, address in enumerate(addresses)}
    has = {node["NodeManagerAddress"]: int(node["Resources"].get("GPU", 0)) for node in nodes if node["Alive"]}
    absent = ", ".join(name for address, name in ranks.items() if address not in has)
    if absent:
        strange = ", ".join(sorted(set(has) - set(ranks)))
        return f"{absent} is not in the Ray cluster" + (
            f"; {strange} is in it, and is no rank" if strange else ""
        ), True
    total = sum(has[address] for address in ranks)
    if total < gpus:
        each = ", ".join(f"{name} has {has[address]}" for address, name in ranks.items())
        return f"the Ray cluster has {total} GPUs and the engine needs {gpus}: {each}", False
    return "", False


def main() -> int:
    """The exit status: 0 once the engine can start."""
    import ray  # noqa: PLC0415 - in the engine's environment only

    gpus, port, addresses = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    ray.init(address="auto", log_to_driver=False, logging_level="ERROR")
    with socket.create_server(("127.0.0.1", port)):
        return wait(ray.nodes, addresses, gpus)


def wait(nodes: Callable[[], Sequence[Mapping[str, Any]]], addresses: Sequence[str], gpus: int) -> int:
    """The same, with what asks for the nodes of the cluster."""
    until = time.monotonic() + LIMIT_S
    said = ""
    while True:
        text, may_come = missing(nodes(), addresses, gpus)
        if not text:
            print(f"all {len(addresses)} ranks are in the Ray cluster", flush=True)
            return 0
        if not may_come or time.monotonic() > until:
            print(f"the engine is not started: {text}", flush=True)
            return 1
        if text != said:
            print(f"waiting: {text}", flush=True)
            said = text
        time.sleep(EVERY_S)


if __name__ == "__main__":
    sys.exit(main())
