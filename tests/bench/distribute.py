#!/usr/bin/env python3
"""How long until every node has a verified copy, as a multiple of one copy's time, on the test ground with limited links.

    distribute.py [--nodes 2,4,8] [--rate 50mbit] [--megabytes 80] [--keep]

Against the chain stand, in the same run and with Debian's packages: rsync from one source to all at once (its own daemon, no ssh)
and BitTorrent (aria2, with a tracker of a few lines). One copy is one HTTP download by curl with sha256sum after it. CPU is what
the cgroups of all nodes used, per gigabyte that was delivered. Seconds are shown for orientation only.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[2]
os.environ.setdefault("GROUND_NAME", "frb")
os.environ.setdefault("GROUND_NET", "10.77.8")
sys.path[:0] = [str(CHECKOUT / "tests/unit"), str(CHECKOUT / "tests/ground")]
import conftest  # noqa: F401  makes the collection importable from the checkout
import ground
from ansible_collections.fullrank.serving.plugins.module_utils import manifest as manifests
from ansible_collections.fullrank.serving.plugins.plugin_utils.distribution import distribute

RESULTS = CHECKOUT / ".cache/bench/distribute.json"
FILES = 8
LIMIT_S = 1800
# where the programs of Debian's packages are on the nodes, with the libraries they need: installed once, copied to the others
TOOLS = "/opt/bench"
COPY = "/srv/bench"
MODEL = "/srv/model"
PACKAGE = "ansible_collections/fullrank/serving/plugins/module_utils"
TRACKER = r"""
import http.server, socket, struct, urllib.parse
peers = set()
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        asked = urllib.parse.parse_qs(self.path.partition("?")[2], encoding="latin-1")
        peers.add(socket.inet_aton(self.client_address[0]) + struct.pack("!H", int(asked["port"][0])))
        body = b"d8:intervali2e5:peers%d:%se" % (6 * len(peers), b"".join(sorted(peers)))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("", 6969), Handler).serve_forever()
"""


def on(node: str, command: str, given: bytes | None = None) -> str:
    """Run on a node by ssh; exit with what it said when it fails."""
    done = subprocess.run(
        [*ground.SSH, f"root@{ground.address(int(node[1:]))}", command],
        check=False,
        capture_output=True,
        input=given,
        timeout=LIMIT_S,
    )
    if done.returncode:
        sys.exit(f"{node}: {command[:200]}: {(done.stderr or done.stdout).decode(errors='replace')[-2000:]}")
    return done.stdout.decode(errors="replace")


def all_on(nodes: list[str], command: Callable[[str], str]) -> list[str]:
    with ThreadPoolExecutor(len(nodes)) as pool:
        return list(pool.map(lambda node: on(node, command(node)), nodes))


def cpu_seconds(nodes: list[str]) -> float:
    """What everything in the nodes' cgroups has used until now."""
    texts = [(ground.cgroup_root() / node / "cpu.stat").read_text() for node in nodes]
    return sum(int(found[1]) for text in texts if (found := re.search(r"usage_usec (\d+)", text))) / 1e6


def tools(nodes: list[str]) -> None:
    """rsync and aria2 of the distribution, on every node."""
    on(
        "n1",
        "(apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --no-install-recommends -y rsync aria2) >/dev/null",
    )
    on(
        "n1",
        f"mkdir -p {TOOLS} && "
        f"cp $(ldd /usr/bin/rsync /usr/bin/aria2c | grep -o '/[^ ]*' | grep '\\.so' | sort -u) /usr/bin/rsync "
        f"/usr/bin/aria2c {TOOLS} && rm -f {TOOLS}/ld-linux* {TOOLS}/libc.so* {TOOLS}/libm.so*",
    )
    packed = subprocess.run(
        [*ground.SSH, f"root@{ground.address(1)}", f"tar -cz {TOOLS}"], check=True, capture_output=True
    ).stdout
    program = subprocess.run(
        [
            "tar",
            "-czh",
            "-C",
            str(CHECKOUT / "collections"),
            *(f"{PACKAGE}/{one}.py" for one in ("manifest", "weights", "weights_peer")),
        ],
        check=True,
        capture_output=True,
    ).stdout
    for node in nodes:
        on(node, "tar -xz -C /", packed)
        on(node, "mkdir -p /opt/peer && tar -xz -C /opt/peer", program)


def tool(name: str) -> str:
    return f"env LD_LIBRARY_PATH={TOOLS} {TOOLS}/{name}"


def service(node: str, name: str, command: str) -> None:
    """Run in the background until the measurement is over."""
    on(node, f"systemd-run --quiet --collect --unit=bench-{name} {command}")


def clean(nodes: list[str]) -> None:
    all_on(nodes, lambda _: f"systemctl stop 'bench-*'; rm -rf {COPY}; sync; true")


def verified(manifest: dict[str, Any]) -> str:
    """The command that compares a copy with the manifest."""
    lines = "".join(f"{one['sha256']}  {COPY}/{one['path']}\n" for one in manifest["files"])
    return f"printf %s {shlex.quote(lines)} | sha256sum --check --quiet"


def one_copy(_: list[str], manifest: dict[str, Any]) -> Iterator[None]:
    service("n1", "http", f"python3 -m http.server --directory {MODEL} 8080")
    time.sleep(2)
    yield
    names = " ".join(f"-O http://n1:8080/{one['path']}" for one in manifest["files"])
    on("n2", f"mkdir {COPY} && cd {COPY} && curl -sSf {names} && {verified(manifest)}")


def chain(nodes: list[str], manifest: dict[str, Any]) -> Iterator[None]:
    """The program itself, started on all nodes at once, with the numbers that the playbook would give it."""
    copies = {
        node: {
            "ready": node == "n1", "digest": "d" * (node == "n1"), "manifest": manifest, "why_not": "",
            "sizes": {}, "partial_bytes": 0,
            "free_bytes": 1 << 50, "address": ground.address(int(node[1:])), "port": 7700, "link_gbps": 0.0,
        }
        for node in nodes
    }  # fmt: skip
    plan, findings = distribute(COPY, "n1", copies)
    assert plan, findings

    def start(node: str) -> str:
        config = {
            "root": COPY if plan.parts[node].receives else MODEL, "manifest": manifest, "slice_bytes": plan.slice_bytes,
            "streams": plan.streams, "address": copies[node]["address"], "port": 7700, "token": "bench", "peers": plan.peers,
            "upstreams": plan.parts[node].upstreams, "stall_s": 300, "linger_s": 3600, "progress": "/run/bench.json",
        }  # fmt: skip
        return (
            f"rm -f /run/bench.json; mkdir -p {COPY}; echo {shlex.quote(json.dumps(config))} >/run/bench-config; systemd-run "
            "--quiet --collect --unit=bench-peer -p Environment=PYTHONPATH=/opt/peer "
            f"python3 -m {PACKAGE.replace('/', '.')}.weights_peer /run/bench-config; "
            "while ! grep -q complete /run/bench.json 2>/dev/null; do sleep 0.2; done"
        )

    yield
    all_on(nodes, start)


def rsync(nodes: list[str], manifest: dict[str, Any]) -> Iterator[None]:
    on("n1", f"printf '[model]\\npath = {MODEL}\\nread only = yes\\nuid = root\\n' >/run/rsyncd.conf")
    service("n1", "rsync", f"{tool('rsync')} --daemon --no-detach --config=/run/rsyncd.conf")
    time.sleep(2)
    yield
    files = " ".join(f"n1::model/{one['path']}" for one in manifest["files"])
    all_on(nodes[1:], lambda _: f"mkdir {COPY} && {tool('rsync')} --whole-file {files} {COPY}/ && {verified(manifest)}")


def bencode(value: Any) -> bytes:
    if isinstance(value, int):
        return b"i%de" % value
    if isinstance(value, bytes):
        return b"%d:%s" % (len(value), value)
    if isinstance(value, list):
        return b"l" + b"".join(map(bencode, value)) + b"e"
    return b"d" + b"".join(bencode(key) + bencode(value[key]) for key in sorted(value)) + b"e"


def torrent(manifest: dict[str, Any], pieces: bytes, piece: int) -> bytes:
    files = [{b"length": one["size"], b"path": [one["path"].encode()]} for one in manifest["files"]]
    info = {b"name": b"bench", b"piece length": piece, b"pieces": pieces, b"files": files}
    return bencode({b"announce": f"http://{ground.address(1)}:6969/announce".encode(), b"info": info})


def bittorrent(nodes: list[str], manifest: dict[str, Any]) -> Iterator[None]:
    piece = 1 << 20
    program = f"import hashlib,sys\nd=b''.join(open('{MODEL}/'+p,'rb').read() for p in sys.argv[1:])\n"
    program += f"print(''.join(hashlib.sha1(d[i:i+{piece}]).hexdigest() for i in range(0,len(d),{piece})))"
    paths = " ".join(one["path"] for one in manifest["files"])
    content = torrent(manifest, bytes.fromhex(on("n1", f"python3 -c {shlex.quote(program)} {paths}").strip()), piece)
    for node in nodes:
        on(node, "cat >/run/bench.torrent", content)
    on("n1", "cat >/run/tracker.py", TRACKER.encode())
    service("n1", "tracker", "python3 /run/tracker.py")
    on("n1", f"mkdir -p /srv/seed && ln -sfn {MODEL} /srv/seed/bench")
    options = "--no-conf --enable-dht=false --bt-tracker-interval=2 --file-allocation=none --seed-ratio=0.0 --quiet"
    seed = f"{tool('aria2c')} {options} --check-integrity=true --seed-time=600"
    service("n1", "seed", f"{seed} --dir=/srv/seed /run/bench.torrent")
    # who has it goes on giving, as long as anybody needs it
    get = f"{tool('aria2c')} {options} --seed-time=600 --dir={COPY}.bt --on-bt-download-complete={COPY}.done /run/bench.torrent"
    for node in nodes[1:]:
        on(
            node,
            f"rm -rf {COPY}.bt /run/bt-done; printf '#!/bin/sh\\ntouch /run/bt-done\\n' >{COPY}.done; chmod +x {COPY}.done",
        )
    time.sleep(5)
    yield
    start = f"systemd-run --quiet --collect --unit=bench-get {get}; while [ ! -e /run/bt-done ]; do sleep 0.2; done; "
    all_on(nodes[1:], lambda _: f"{start} ln -sfn {COPY}.bt/bench {COPY} && {verified(manifest)}")


METHODS = {"chain": chain, "rsync, all from one": rsync, "BitTorrent (aria2)": bittorrent}


def measure(
    what: str, method: Callable[..., Iterator[None]], nodes: list[str], manifest: dict[str, Any]
) -> dict[str, float]:
    clean(nodes)
    steps = method(nodes, manifest)
    next(steps)  # what serves is up; what follows is measured
    cpu, started = cpu_seconds(nodes), time.monotonic()
    next(steps, None)
    seconds, cpu = time.monotonic() - started, cpu_seconds(nodes) - cpu
    delivered = (len(nodes) - 1) * manifests.total_bytes(manifest) / 1e9
    print(f"-- {what}, {len(nodes)} nodes: {seconds:.1f} s, {cpu / delivered:.1f} CPU-seconds per GB", flush=True)
    return {"seconds": round(seconds, 1), "cpu seconds per GB": round(cpu / delivered, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", default="2,4,8")
    parser.add_argument("--rate", default="50mbit")
    parser.add_argument("--megabytes", type=int, default=160)
    parser.add_argument("--keep", action="store_true", help="leave the ground up")
    given = parser.parse_args()
    counts = [int(one) for one in given.nodes.split(",")]
    nodes = [f"n{number}" for number in range(1, max(counts) + 1)]
    ground.up(len(nodes), [f"{CHECKOUT}/tests/standins:/opt/standins"])
    try:
        result = bench(given, counts, nodes)
    finally:
        if not given.keep:
            ground.down()
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


def bench(given: argparse.Namespace, counts: list[int], nodes: list[str]) -> dict[str, Any]:
    tools(nodes)
    on("n1", f"/opt/standins/make-model {MODEL} 1 {' '.join([str(given.megabytes * 1_000_000 // FILES)] * FILES)}")
    content = on("n1", f"cat {MODEL}/{manifests.MANIFEST}").encode()
    manifest = manifests.parse(content)
    assert hashlib.sha256(content).hexdigest()
    for node in nodes:
        ground.rate(node, given.rate)
    one = measure("one copy", one_copy, nodes[:2], manifest)
    times = {
        what: {str(count): measure(what, method, nodes[:count], manifest) for count in counts}
        for what, method in METHODS.items()
    }
    return {
        "rate": given.rate,
        "megabytes": given.megabytes,
        "one copy": one,
        "multiple of one copy": {
            what: {count: round(found["seconds"] / one["seconds"], 2) for count, found in of.items()}
            for what, of in times.items()
        },
        "cpu seconds per GB": {
            what: {count: found["cpu seconds per GB"] for count, found in of.items()} for what, of in times.items()
        },
    }


if __name__ == "__main__":
    main()
