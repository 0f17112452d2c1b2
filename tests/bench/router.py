#!/usr/bin/env python3
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a router costs, and what it loses, before stand-ins of an engine on loopback (`make bench`).

HAProxy with our configuration, beside nginx as a plain proxy, and smg where FULLRANK_SMG names its program; each in the same run
and before the same stand-ins. Ratios are to the stand-in asked directly; absolute numbers are for orientation only, on a machine
that other work shares.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(CHECKOUT / "collections"))

from ansible_collections.fullrank.serving.plugins.module_utils.router import haproxy, lua

RESULTS = CHECKOUT / ".cache/bench/router.json"
KEY = "key-of-the-benchmark"
ASKED, STREAMED, EVENTS, AT_ONCE, OPEN, FAULT_S, CLIENTS = 400, 400, 50, 32, 1000, 6.0, 8
Times = dict[str, Any]


# the stand-in, a process of its own: `router.py engine PORT READY_PORT`


async def engine(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            length = int(head.partition("content-length:")[2].split("\r\n")[0] or 0)
            body = await reader.readexactly(length)
            if b'"stream":true' not in body.replace(b" ", b""):
                if b"slow" in body:
                    await asyncio.sleep(0.05)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: application/json\r\n\r\n{}")
                continue
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: text/event-stream\r\n\r\n")
            for _ in range(EVENTS):
                event = b'data: {"choices": [{"delta": {"content": "word"}, "index": 0}]}\n\n'
                writer.write(b"%x\r\n%s\r\n" % (len(event), event))
                await writer.drain()
                await asyncio.sleep(3600 if b"open" in body else 0)
            writer.write(b"0\r\n\r\n")
    writer.close()


async def serve(port: int, ready_port: int) -> None:
    async def ready(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            await writer.drain()
        writer.close()

    one = await asyncio.start_server(engine, "127.0.0.1", port, backlog=2048)
    other = await asyncio.start_server(ready, "127.0.0.1", ready_port)
    await asyncio.gather(one.serve_forever(), other.serve_forever())


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


class Engine:
    def __init__(self) -> None:
        self.port, self.ready_port = free_port(), free_port()
        self.start()

    def start(self) -> None:
        command = [sys.executable, __file__, "engine", str(self.port), str(self.ready_port)]
        self.process = subprocess.Popen(command)
        until_listens(self.port)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


def until_listens(port: int) -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise SystemExit(f"nothing listens on port {port}")


# the programs: each takes a folder, a port and the stand-ins, and gives its command


def with_haproxy(folder: Path, port: int, engines: list[Engine]) -> list[str]:
    servers = [
        {
            "name": f"n{number}",
            "url": f"http://127.0.0.1:{one.port}",
            "ready": f"http://127.0.0.1:{one.ready_port}/ready",
        }
        for number, one in enumerate(engines)
    ]
    route = {
        **{"name": "bench", "host": "127.0.0.1", "port": port, "tls": False, "timeout": 3600, "max_body_mib": 256},
        **{"buffer_kib": 128, "max_connections": 2048, "address_connections": 2048, "address_rate": 10_000_000},
        **{"queue": 128, "queue_timeout": 120, "resend": True, "origins": [], "key": True, "engine_key": True},
        **{"teams": [{"name": "bench", "concurrency": 4000, "rate": 1_000_000}], "metrics_host": "127.0.0.1"},
        **{"metrics_port": free_port(), "metrics_from": [], "balancer": {}, "servers": servers},
        **{"post": ["/v1/completions"], "get": ["/v1/models"]},
    }
    (folder / "router.lua").write_text(lua.PROGRAM)
    (folder / "x.keys").write_text(f"{hashlib.sha256(KEY.encode()).hexdigest()} bench\n")
    (folder / "x.engine").write_text(f"key {KEY}\n")
    text = haproxy.configuration(
        route,
        run=str(folder),
        maps=str(folder / "x"),
        program=str(folder / "router.lua"),
        digest="bench",
        threads=os.cpu_count() or 1,
    )
    (folder / "haproxy.cfg").write_text(text)
    return [find("haproxy"), "-db", "-f", str(folder / "haproxy.cfg")]


def with_nginx(folder: Path, port: int, engines: list[Engine]) -> list[str]:
    """As routers had it: the fewest connections, tokens as they come, the next where a connection is refused."""
    servers = "".join(f"server 127.0.0.1:{one.port} max_fails=1 fail_timeout=5s;" for one in engines)
    temporary = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in ("proxy", "fastcgi", "uwsgi", "scgi"))
    (folder / "nginx.conf").write_text(
        f"daemon off; worker_processes auto; pid {folder}/pid; error_log stderr crit;"
        f"events {{ worker_connections 8192; }} http {{ access_log off; client_body_temp_path {folder}/body; {temporary}"
        f"upstream replicas {{ zone replicas 256k; least_conn; {servers} keepalive 64; }}"
        f"server {{ listen 127.0.0.1:{port} backlog=4096; client_body_buffer_size 1m; location / {{"
        'proxy_pass http://replicas; proxy_http_version 1.1; proxy_set_header Connection "";'
        "proxy_buffering off; proxy_connect_timeout 2s; proxy_next_upstream error timeout; proxy_read_timeout 3600s; } } }"
    )
    return [find("nginx"), "-e", "stderr", "-c", str(folder / "nginx.conf")]


def with_smg(folder: Path, port: int, engines: list[Engine]) -> list[str]:
    command = [os.environ["FULLRANK_SMG"], "launch", "--host", "127.0.0.1", "--port", str(port), "--log-level", "error"]
    return [
        *command,
        "--prometheus-host",
        "127.0.0.1",
        "--prometheus-port",
        str(free_port()),
        "--max-concurrent-requests",
        "-1",
    ]


def register(port: int, engines: list[Engine]) -> None:
    """smg learns of its workers."""
    for one in engines:
        worker = {"url": f"http://127.0.0.1:{one.port}", "models": [{"id": "tiny"}], "runtime": "vllm"}
        worker |= {"connection_mode": "http", "health": {"disable_health_check": True}}
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/workers", json.dumps(worker).encode(), {"Content-Type": "application/json"}
        )
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10).close()
    time.sleep(2)


def find(program: str) -> str:
    return shutil.which(program, path="/usr/sbin:/usr/bin") or program


PROGRAMS: dict[str, Callable[[Path, int, list[Engine]], list[str]]] = {"haproxy": with_haproxy, "nginx": with_nginx}
if "FULLRANK_SMG" in os.environ:
    PROGRAMS["smg"] = with_smg


@contextlib.contextmanager
def running(name: str, engines: list[Engine]) -> Iterator[tuple[int, int]]:
    """Port and process of a program before the stand-ins."""
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        quiet = subprocess.DEVNULL
        command = PROGRAMS[name](Path(folder), port, engines)
        process = subprocess.Popen(command, stdout=quiet, stderr=quiet, start_new_session=True)
        try:
            until_listens(port)
            if name == "smg":
                register(port, engines)
            time.sleep(1.5)
            yield port, process.pid
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


# clients


def message(words: str) -> bytes:
    body = json.dumps({"model": "tiny", "prompt": words, "stream": words.startswith("stream")}).encode()
    head = (
        f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\nContent-Type: application/json\r\n"
    )
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def answer(reader: asyncio.StreamReader) -> int:
    """The status of an answer that is read to its end."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    if "chunked" in head:
        while size := int((await reader.readline()) or b"x", 16):
            await reader.readexactly(size + 2)
        await reader.readline()
    else:
        await reader.readexactly(int(head.partition("content-length:")[2].split("\r\n")[0]))
    return int(head.split()[1])


async def latency(port: int) -> tuple[float, float]:
    """Median and 99th percentile in seconds, one request after the other on one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    times = []
    for _ in range(ASKED):
        began = time.perf_counter()
        writer.write(message("ping"))
        assert await answer(reader) == 200
        times.append(time.perf_counter() - began)
    writer.close()
    return statistics.median(times), sorted(times)[int(ASKED * 0.99)]


async def streams(port: int) -> float:
    """Seconds for all streamed requests, so many at a time."""
    left = iter(range(STREAMED))

    async def client() -> None:
        for _ in left:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(message("stream"))
            assert await answer(reader) == 200
            writer.close()

    began = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(AT_ONCE)))
    return time.perf_counter() - began


async def hold(port: int, measure: Callable[[], int]) -> int:
    """What is measured while so many streams are open."""
    held = []
    for _ in range(OPEN):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(message("stream open"))
        held.append((reader, writer))
    for reader, _unused in held:
        await asyncio.wait_for(reader.readuntil(b"word"), 60)
    found = measure()
    for _unused, writer in held:
        writer.close()
    return found


async def lost(port: int, fault: Callable[[], Awaitable[None]]) -> tuple[int, int]:
    """Requests without an answer of 200 while something breaks, and all."""
    over = time.monotonic() + FAULT_S
    counts = [0, 0]

    async def client() -> None:
        while time.monotonic() < over:
            status = 0
            with contextlib.suppress(OSError, ValueError, asyncio.IncompleteReadError):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(message("slow"))
                status = await answer(reader)
                writer.close()
            counts[1] += 1
            counts[0] += status != 200
            await asyncio.sleep(0.02)

    await asyncio.gather(fault(), *(client() for _ in range(CLIENTS)))
    return counts[0], counts[1]


def family(pid: int) -> list[int]:
    """A process and its descendants."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(one for child in children for one in family(int(child)))]


def cpu_s(pid: int) -> float:
    ticks = 0
    for one in family(pid):
        fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def memory_kib(pid: int) -> int:
    """Proportional set size of a process and its descendants."""
    texts = [Path(f"/proc/{one}/smaps_rollup").read_text() for one in family(pid)]
    return sum(int(line.split()[1]) for text in texts for line in text.splitlines() if line.startswith("Pss:"))


async def broken(engines: list[Engine], back_after: float | None) -> None:
    """One stand-in is killed while it answers."""
    await asyncio.sleep(1)
    engines[0].end()
    if back_after is not None:
        await asyncio.sleep(back_after)
        await asyncio.to_thread(engines[0].start)


def measured(name: str, direct: tuple[float, float, float]) -> Times:
    engines = [Engine(), Engine()]
    try:
        with running(name, engines) as (port, pid):
            median, worst = asyncio.run(latency(port))
            before = cpu_s(pid)
            seconds = asyncio.run(streams(port))
            used = cpu_s(pid) - before
            empty = memory_kib(pid)
            full = asyncio.run(hold(port, lambda: memory_kib(pid)))
        with running(name, engines) as (port, _unused):
            two = asyncio.run(lost(port, lambda: broken(engines, None)))
        engines[0].start()
        with running(name, engines[:1]) as (port, _unused):
            one = asyncio.run(lost(port, lambda: broken(engines, 2)))
    finally:
        for each in engines:
            each.end()
    return {
        "added_median_ms": round((median - direct[0]) * 1000, 3),
        "added_p99_ms": round((worst - direct[1]) * 1000, 3),
        "median_ratio": round(median / direct[0], 2),
        "p99_ratio": round(worst / direct[1], 2),
        "streams_per_s": round(STREAMED / seconds, 1),
        "streams_ratio": round(direct[2] / seconds, 2),
        "cpu_ms_per_stream": round(used / STREAMED * 1000, 2),
        "memory_mib": round(empty / 1024, 1),
        "memory_mib_with_open_streams": round(full / 1024, 1),
        "lost_of_two": f"{two[0]} of {two[1]}",
        "lost_of_one": f"{one[0]} of {one[1]}",
    }


def main() -> None:
    alone = Engine()
    try:
        direct = (*asyncio.run(latency(alone.port)), asyncio.run(streams(alone.port)))
    finally:
        alone.end()
    found: Times = {"load": os.getloadavg()[0], "cores": os.cpu_count(), "direct_median_ms": round(direct[0] * 1000, 3)}
    found |= {"direct_p99_ms": round(direct[1] * 1000, 3), "direct_streams_per_s": round(STREAMED / direct[2], 1)}
    for name in PROGRAMS:
        print(f"-- {name}", flush=True)
        found[name] = measured(name, direct)
        print(json.dumps(found[name], indent=1), flush=True)
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    print({name: value for name, value in found.items() if not isinstance(value, dict)})


if __name__ == "__main__":
    if sys.argv[1:2] == ["engine"]:
        asyncio.run(serve(int(sys.argv[2]), int(sys.argv[3])))
    else:
        main()
