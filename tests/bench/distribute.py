#!/usr/bin/env python3
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long until every node has a verified copy, as a multiple of one copy's time, where every link is limited.

    distribute.py [--nodes 2,4,8] [--rate 200] [--megabytes 400]

The nodes are network namespaces on a bridge, each with a folder of its own as /srv; what runs in them is the node's program,
with the numbers that the playbook would give it. Against the chain stand, in the same run and with Debian's packages: rsync from
one source to all at once (its own daemon, no ssh), BitTorrent (aria2, with a tracker of a few lines), and a chain of nginx, each
of which keeps what it fetches from the one before; the last node asks, for two files at a time, and every node hashes a file as
soon as it is whole (the nodes share this machine's processors: hashing all at the end would measure these, not the network). One
copy is one HTTP download by curl with sha256sum after it. CPU is what the processes of all nodes used, per gigabyte that was
delivered. Seconds are shown for orientation only.
"""

from __future__ import annotations

import argparse
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
from ansible_collections.fullrank.serving.plugins.module_utils.weights import manifest as weights_manifest
from ansible_collections.fullrank.serving.plugins.plugin_utils.actions.weights_distribution import distribute

RESULTS = CHECKOUT / ".cache/bench/distribute.json"
# Debian's packages are unpacked there, not installed
TOOLS = CHECKOUT / ".cache/bench/tools"
PACKAGES = "rsync aria2 libaria2-0 libc-ares2 libssh2-1 libxxhash0 libpopt0 nginx"
FILES = 8
LIMIT_S = 1800
COPY, MODEL, RUN = "/srv/copy", "/srv/model", "/srv/run"
PROGRAM = "ansible_collections.fullrank.serving.plugins.module_utils.weights.transfer.peer"
NGINX = """
daemon off; worker_processes 1; user root; pid {run}/pid; error_log stderr;
events {{ worker_connections 256; }}
http {{
  access_log off; sendfile on; client_body_temp_path {run}/1; proxy_temp_path {run}/2; fastcgi_temp_path {run}/3;
  uwsgi_temp_path {run}/4; scgi_temp_path {run}/5;
  server {{
    listen 8740; root {root};
    location / {{ try_files $uri @before; }}
    location @before {{ proxy_pass http://{before}:8740; proxy_http_version 1.1; proxy_store on; proxy_store_access user:rw; }}
  }}
}}
"""
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


def nodes_up(nodes: list[str]) -> None:
    """A bridge in a namespace of its own and a namespace for each node; `ground.down` removes them."""
    ground.NODES.mkdir(parents=True, exist_ok=True)
    ground.run("ip", "netns", "add", ground.NAME)
    ground.in_ground("ip", "link", "add", ground.BRIDGE, "type", "bridge")
    ground.in_ground("ip", "link", "set", ground.BRIDGE, "up")
    for node in nodes:
        own = ground.namespace(node)
        (ground.NODES / node / "run").mkdir(parents=True)
        ground.run("ip", "netns", "add", own)
        ground.in_ground(*f"ip link add {node} type veth peer name eth0".split())
        ground.in_ground("ip", "link", "set", "eth0", "netns", own)
        ground.in_ground(*f"ip link set {node} master {ground.BRIDGE} up".split())
        ground.run(*f"ip -n {own} link set lo up".split())
        ground.run(*f"ip -n {own} addr add {address(node)}/24 dev eth0".split())
        ground.run(*f"ip -n {own} link set eth0 up".split())


def address(node: str) -> str:
    return ground.address(int(node[1:]))


def inside(node: str, command: str) -> list[str]:
    """A shell command in a node: its network, its folder as /srv (in a mount namespace of its own), its cgroup."""
    group = ground.cgroup_root() / node
    group.mkdir(parents=True, exist_ok=True)
    enter = ["ip", "netns", "exec", ground.namespace(node), "sh", "-c"]
    # the cgroup first: inside, /sys is another one
    return [
        "sh",
        "-c",
        'echo 0 >"$0/cgroup.procs" && exec "$@"',
        str(group),
        *enter,
        f"mount --bind {ground.NODES / node} /srv && {command}",
    ]


def on(node: str, command: str) -> str:
    """Run in a node; exit with its output when it fails."""
    done = subprocess.run(inside(node, command), check=False, capture_output=True, text=True, timeout=LIMIT_S)
    if done.returncode:
        sys.exit(f"{node}: {command[:300]}: {(done.stderr or done.stdout)[-2000:]}")
    return done.stdout


def all_on(nodes: list[str], command: Callable[[str], str]) -> list[str]:
    with ThreadPoolExecutor(len(nodes)) as pool:
        return list(pool.map(lambda node: on(node, command(node)), nodes))


def cpu_seconds(nodes: list[str]) -> float:
    """What everything in the nodes' cgroups has used until now."""
    texts = [(ground.cgroup_root() / node / "cpu.stat").read_text() for node in nodes]
    return sum(int(found[1]) for text in texts if (found := re.search(r"usage_usec (\d+)", text))) / 1e6


def tools() -> None:
    """rsync, aria2 and nginx of the distribution."""
    if (TOOLS / "usr/bin/aria2c").exists() and (TOOLS / "usr/sbin/nginx").exists():
        return
    TOOLS.mkdir(parents=True, exist_ok=True)
    subprocess.run(["apt-get", "-qq", "download", *PACKAGES.split()], check=True, cwd=TOOLS)
    for package in TOOLS.glob("*.deb"):
        subprocess.run(["dpkg-deb", "--extract", str(package), str(TOOLS)], check=True)


def tool(name: str) -> str:
    libraries = next((TOOLS / "usr/lib").glob("*-linux-gnu"))
    return f"env LD_LIBRARY_PATH={libraries} {next(TOOLS.glob(f'usr/*bin/{name}'))}"


def service(node: str, command: str) -> None:
    """Run in the background until the measurement is over."""
    with (ground.NODES / node / "services.log").open("a") as log:
        subprocess.Popen(inside(node, f"exec {command}"), stdout=log, stderr=log, start_new_session=True)


def clean(nodes: list[str]) -> None:
    """End what the measurement before left, and remove its copies."""
    ground.kill_all(ground.cgroup_root())
    for node in nodes:
        on(node, f"rm -rf {COPY} {COPY}.bt {RUN}/*")


def verified(manifest: dict[str, Any]) -> str:
    """The command that compares a copy with the manifest."""
    lines = "".join(f"{one['sha256']}  {COPY}/{one['path']}\n" for one in manifest["files"])
    return f"printf %s {shlex.quote(lines)} | sha256sum --check --quiet"


def one_copy(_: list[str], manifest: dict[str, Any]) -> Iterator[None]:
    service("n1", f"python3 -m http.server --directory {MODEL} 8080")
    time.sleep(2)
    yield
    names = " ".join(f"-O http://{address('n1')}:8080/{one['path']}" for one in manifest["files"])
    on("n2", f"mkdir {COPY} && cd {COPY} && curl -sSf {names} && {verified(manifest)}")


def chain(nodes: list[str], manifest: dict[str, Any]) -> Iterator[None]:
    """The program itself, started on all nodes at once, with the numbers that the playbook would give it."""
    copies = {
        node: {
            "ready": node == "n1", "manifest_sha256": "d" * (node == "n1"), "manifest": manifest, "why_not": "",
            "sizes": {}, "partial_bytes": 0,
            "free_bytes": 1 << 50, "address": address(node), "port": 7700, "link_gbps": 0.0,
        }
        for node in nodes
    }  # fmt: skip
    plan, findings = distribute(COPY, "n1", copies)
    assert plan, findings

    def start(node: str) -> str:
        config = {
            "root": COPY if plan.parts[node].receives else MODEL, "manifest": manifest, "slice_bytes": plan.slice_bytes,
            "streams": plan.streams, "address": copies[node]["address"], "port": 7700, "token": "bench", "peers": plan.peers,
            "upstreams": plan.parts[node].upstreams, "stall_s": 300, "linger_s": 3600, "progress": f"{RUN}/progress", "rsh": "",
        }  # fmt: skip
        program = f"env PYTHONPATH={CHECKOUT}/collections {sys.executable} -m {PROGRAM} {RUN}/config"
        (ground.NODES / node / "run/config").write_text(json.dumps(config))
        service(node, program)
        return f"while ! grep -q complete {RUN}/progress 2>{RUN}/none; do sleep 0.2; done"

    yield
    all_on(nodes, start)


def rsync(nodes: list[str], manifest: dict[str, Any]) -> Iterator[None]:
    (ground.NODES / "n1/run/rsyncd.conf").write_text(f"[model]\npath = {MODEL}\nuse chroot = no\nuid = root\n")
    service("n1", f"{tool('rsync')} --daemon --no-detach --port=8730 --config={RUN}/rsyncd.conf")
    time.sleep(2)
    yield
    files = " ".join(f"rsync://{address('n1')}:8730/model/{one['path']}" for one in manifest["files"])
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
    return bencode({b"announce": f"http://{address('n1')}:6969/announce".encode(), b"info": info})


def bittorrent(nodes: list[str], manifest: dict[str, Any]) -> Iterator[None]:
    piece = 1 << 20
    program = f"import hashlib,sys\nd=b''.join(open('{MODEL}/'+p,'rb').read() for p in sys.argv[1:])\n"
    program += f"print(''.join(hashlib.sha1(d[i:i+{piece}]).hexdigest() for i in range(0,len(d),{piece})))"
    paths = " ".join(one["path"] for one in manifest["files"])
    content = torrent(manifest, bytes.fromhex(on("n1", f"python3 -c {shlex.quote(program)} {paths}").strip()), piece)
    for node in nodes:
        (ground.NODES / node / "run/bench.torrent").write_bytes(content)
    (ground.NODES / "n1/run/tracker.py").write_text(TRACKER)
    service("n1", f"python3 {RUN}/tracker.py")
    on("n1", f"mkdir -p {RUN}/seed && ln -sfn {MODEL} {RUN}/seed/bench")
    options = "--no-conf --enable-dht=false --bt-tracker-interval=2 --file-allocation=none --seed-ratio=0.0 --quiet"
    seed = f"{tool('aria2c')} {options} --check-integrity=true --seed-time=600"
    service("n1", f"{seed} --dir={RUN}/seed {RUN}/bench.torrent")
    # who has it goes on giving, as long as anybody needs it
    get = f"{tool('aria2c')} {options} --seed-time=600 --dir={COPY}.bt --on-bt-download-complete={RUN}/done {RUN}/bench.torrent"
    for node in nodes[1:]:
        on(node, f"printf '#!/bin/sh\ntouch {RUN}/is-done\n' >{RUN}/done; chmod +x {RUN}/done")
    time.sleep(5)
    yield
    for node in nodes[1:]:
        service(node, get)
    wait = f"while [ ! -e {RUN}/is-done ]; do sleep 0.2; done; ln -sfn {COPY}.bt/bench {COPY}"
    all_on(nodes[1:], lambda _: f"{wait} && {verified(manifest)}")


def nginx(nodes: list[str], manifest: dict[str, Any]) -> Iterator[None]:
    for node, before in zip(nodes, nodes[:1] + nodes[:-1], strict=True):
        own = MODEL if node == nodes[0] else COPY
        on(node, f"mkdir -p {COPY} {RUN}/nginx")
        (ground.NODES / node / "run/nginx.conf").write_text(
            NGINX.format(run=f"{RUN}/nginx", root=own, before=address(before))
        )
        service(node, f"{tool('nginx')} -p {RUN}/nginx -e stderr -c {RUN}/nginx.conf")
    time.sleep(2)
    yield
    names = " ".join(f"-o /dev/null http://{address(nodes[-1])}:8740/{one['path']}" for one in manifest["files"])
    ask = f"curl -sSf --parallel --parallel-max 2 {names}"

    def follow(node: str) -> str:
        # nginx gives a file its name when it is whole
        each = "; ".join(
            f"until [ -e {COPY}/{one['path']} ]; do sleep 0.2; done; {verified({'files': [one]})}"
            for one in manifest["files"]
        )
        return f"set -e; {ask} & {each}; wait" if node == nodes[-1] else f"set -e; {each}"

    all_on(nodes[1:], follow)


METHODS = {"chain": chain, "nginx chain": nginx, "rsync, all from one": rsync, "BitTorrent (aria2)": bittorrent}


def measure(
    what: str, method: Callable[..., Iterator[None]], nodes: list[str], manifest: dict[str, Any]
) -> dict[str, float]:
    clean(nodes)
    steps = method(nodes, manifest)
    next(steps)  # what serves is up; what follows is measured
    cpu, started = cpu_seconds(nodes), time.monotonic()
    next(steps, None)
    seconds, cpu = time.monotonic() - started, cpu_seconds(nodes) - cpu
    delivered = (len(nodes) - 1) * weights_manifest.total_bytes(manifest) / 1e9
    print(f"-- {what}, {len(nodes)} nodes: {seconds:.1f} s, {cpu / delivered:.1f} CPU-seconds per GB", flush=True)
    return {"seconds": round(seconds, 1), "cpu seconds per GB": round(cpu / delivered, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", default="2,4,8")
    parser.add_argument("--rate", type=int, default=200, help="Mbit/s of each link, both ways")
    parser.add_argument("--megabytes", type=int, default=400)
    options = parser.parse_args()
    counts = [int(one) for one in options.nodes.split(",")]
    nodes = [f"n{number}" for number in range(1, max(counts) + 1)]
    tools()
    ground.down()
    try:
        nodes_up(nodes)
        result = bench(options, counts, nodes)
    finally:
        ground.down()
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


def bench(options: argparse.Namespace, counts: list[int], nodes: list[str]) -> dict[str, Any]:
    on(
        "n1",
        f"{CHECKOUT}/tests/standins/make-model {MODEL} 1 {' '.join([str(options.megabytes * 1_000_000 // FILES)] * FILES)}",
    )
    manifest = weights_manifest.parse((ground.NODES / "n1/model" / weights_manifest.MANIFEST).read_bytes())
    for node in nodes:
        ground.rate(node, f"{options.rate}mbit")
    one = measure("one copy", one_copy, nodes[:2], manifest)
    times = {
        what: {str(count): measure(what, method, nodes[:count], manifest) for count in counts}
        for what, method in METHODS.items()
    }
    return {
        "rate": f"{options.rate}mbit",
        "megabytes": options.megabytes,
        "one copy": one,
        "multiple of one copy": {
            what: {count: round(found["seconds"] / one["seconds"], 2) for count, found in of.items()}
            for what, of in times.items()
        },
        # on a busy machine the one copy is late as well; the wire is not
        "multiple of the wire's own time": {
            what: {
                count: round(found["seconds"] * options.rate / (8 * options.megabytes), 2)
                for count, found in of.items()
            }
            for what, of in times.items()
        },
        "cpu seconds per GB": {
            what: {count: found["cpu seconds per GB"] for count, found in of.items()} for what, of in times.items()
        },
    }


if __name__ == "__main__":
    main()
