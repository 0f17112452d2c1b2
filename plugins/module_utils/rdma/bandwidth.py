# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``ib_write_bw`` between two nodes: servers and clients that run at the same time. Private to this collection."""

from __future__ import annotations

import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.rdma import perftest

PAUSE_S = 0.5


def start(words: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def send(words: list[str], deadline: float) -> str:
    """The output of the client; tried again as long as the other side does not listen yet."""
    while True:
        left = max(1.0, deadline - time.monotonic())
        client = start(words)
        try:
            output = client.communicate(timeout=left)[0]
        except subprocess.TimeoutExpired:
            client.kill()
            return client.communicate()[0] + "\nno end within the time allowed"
        if client.returncode == 0 or time.monotonic() >= deadline:
            return output
        time.sleep(PAUSE_S)


def measure(params: dict[str, Any]) -> tuple[dict[str, float], list[str]]:
    """Port → Gbit/s, and what went wrong."""
    ports = params["ports"]
    deadline = time.monotonic() + params["timeout"] + params["seconds"]
    servers = [
        start(perftest.command(one["device"], one["port"], params["tcp_port"] + number, params["seconds"]))
        for number, one in enumerate(ports)
    ]
    commands = [
        perftest.command(one["device"], one["port"], params["tcp_port"] + number, params["seconds"], params["peer"])
        for number, one in enumerate(ports[: params["peer_ports"]])
    ]
    try:
        with ThreadPoolExecutor(len(commands) or 1) as pool:
            outputs = list(pool.map(lambda words: send(words, deadline), commands))
        for server in servers:
            try:
                server.communicate(timeout=max(1.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                continue  # the node before has fewer ports, or did not connect; it reports that itself
    finally:
        for server in servers:
            if server.poll() is None:
                server.kill()
                server.communicate()
    return judge(ports, outputs, params["min_share"], params["peer"])


def judge(
    ports: list[dict[str, Any]], outputs: list[str], min_share: float, peer: str
) -> tuple[dict[str, float], list[str]]:
    """What the clients printed, port by port, against the ports' rates."""
    reached, wrong = {}, []
    for one, output in zip(ports, outputs):  # noqa: B905 - strict is not known to Python 3.9
        name, gbps = f"{one['device']}:{one['port']}", perftest.parse(output)
        if gbps is None:
            lines = [line.strip() for line in output.splitlines() if line.strip()]
            wrong.append(f"{name} to {peer}: no result: {lines[-1] if lines else 'ib_write_bw printed nothing'}")
            continue
        reached[name] = round(gbps, 2)
        if gbps < one["gbps"] * min_share:
            wrong.append(
                f"{name} to {peer}: {gbps:.1f} Gbit/s, less than {min_share:.0%} of its rate of {one['gbps']:g}"
            )
    return reached, wrong
