# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The nodes of a chain as processes on loopback addresses, and wires between them that can be faulty."""

from __future__ import annotations

import hashlib
import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.weights import folder as weights_folder
from ansible_collections.fullrank.serving.plugins.module_utils.weights import manifest

CHECKOUT = Path(__file__).resolve().parents[2]
MODULE = "ansible_collections.fullrank.serving.plugins.module_utils.weights.transfer.peer"
TOKEN = "a-token"
SLICE = 1 << 16
LIMIT_S = 90
HEEDS_SIGINT = ("env", "--default-signal=INT")
SIZES = {"a.json": 10, "b/empty": 0, "c.safetensors": 3_000_000, "d.safetensors": 2_000_001, "e.safetensors": SLICE}


@dataclass
class Peer:
    name: str
    address: str
    root: Path
    port: int
    process: subprocess.Popen[str] | None = None
    upstreams: list[dict[str, Any]] = field(default_factory=list)

    @property
    def place(self) -> dict[str, Any]:
        return {"name": self.name, "address": self.address, "port": self.port}

    @property
    def progress(self) -> dict[str, Any]:
        return dict(json.loads((self.root.parent / f"{self.name}.progress").read_text()))

    def wait(self, state: str = "complete") -> dict[str, Any]:
        deadline = time.monotonic() + LIMIT_S
        while time.monotonic() < deadline:
            try:
                found = self.progress
                if found["phase"] == state:
                    return found
                assert found["phase"] != "failed", found
            except FileNotFoundError:
                pass
            time.sleep(0.05)
        raise AssertionError(f"{self.name} is not {state} after {LIMIT_S} s: {self.progress}")

    def kill(self) -> None:
        assert self.process
        self.process.kill()
        self.process.wait()


class Chain:
    """n1 has the model; the others, each after the one before it, get it."""

    def __init__(self, folder: Path, count: int, sizes: dict[str, int]) -> None:
        self.folder = folder
        self.peers = [self._peer(f"n{i}", f"127.0.0.{10 + i}") for i in range(1, count + 1)]
        rng = random.Random(7)
        for path, size in sizes.items():
            file = self.peers[0].root / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(rng.randbytes(size))
        files = [
            {"path": path, "size": size, "sha256": hashlib.sha256((self.peers[0].root / path).read_bytes()).hexdigest()}
            for path, size in sizes.items()
        ]
        self.total = sum(sizes.values())
        self.manifest = manifest.build({"hub": "path", "repo": "r", "revision": "1"}, files)
        weights_folder.write_manifest(self.peers[0].root, self.manifest)
        weights_folder.mark_ready(self.peers[0].root)

    def _peer(self, name: str, address: str) -> Peer:
        with socket.socket() as probe:
            probe.bind((address, 0))
            port = probe.getsockname()[1]
        root = self.folder / name
        root.mkdir(parents=True)
        return Peer(name, address, root, port)

    def start(
        self, peer: Peer, upstreams: list[dict[str, Any]] | None = None, within: Sequence[str] = (), **settings: Any
    ) -> None:
        """``within`` is a command that gets the program's as its arguments; ``settings`` replaces parts of the configuration."""
        before = self.peers[: self.peers.index(peer)]
        config = {
            "root": str(peer.root),
            "manifest": self.manifest,
            "slice_bytes": SLICE,
            "streams": 2,
            "address": peer.address,
            "port": peer.port,
            "token": TOKEN,
            # on loopback a connection comes from 127.0.0.1, whoever makes it
            "peers": ["127.0.0.1"],
            "upstreams": [one.place for one in reversed(before)] if upstreams is None else upstreams,
            "stall_s": 30,
            "linger_s": 600,
            "progress": str(self.folder / f"{peer.name}.progress"),
            "rsh": "",
            **settings,
        }
        path = self.folder / f"{peer.name}.json"
        path.write_text(json.dumps(config))
        (self.folder / f"{peer.name}.progress").unlink(missing_ok=True)
        with (self.folder / f"{peer.name}.log").open("a") as log:
            peer.process = subprocess.Popen(
                # a shell's background job ignores SIGINT, and so would what it starts
                [*within, *HEEDS_SIGINT, sys.executable, "-m", MODULE, str(path)],
                env={**os.environ, "PYTHONPATH": str(CHECKOUT / "collections")},
                stdout=log,
                stderr=log,
                text=True,
            )

    def rsh(self, peer: Peer, rate: int = 0) -> str:
        """A stand-in for ssh: runs the command here, and each address of a peer leads to that one's folder.

        ``rate``: kB/s that the other side sends at most.
        """
        slowly = f'shift 2; set -- rsync --server --bwlimit={rate} "$@"\n' if rate else ""
        script = self.folder / f"{peer.name}.rsh"
        others = "".join(f"{one.address}) there={one.root};;\n" for one in self.peers)
        script.write_text(
            f"#!/bin/sh\nhost=$1; shift\ncase $host in {others}*) echo no route to $host >&2; exit 255;; esac\n"
            f"[ -e {self.folder}/$host.down ] && {{ echo $host is down >&2; exit 255; }}\n"
            f'[ "$1" = cat ] && exec cat "$there.progress"\n{slowly}'
            f'exec unshare --mount sh -c \'mount --bind "$0" {peer.root} && exec "$@"\' "$there" "$@"\n'
        )
        script.chmod(0o755)
        return str(script)

    def start_all(self, **settings: Any) -> None:
        for peer in self.peers:
            self.start(peer, **settings)

    def stop_all(self) -> None:
        for peer in self.peers:
            if peer.process and peer.process.poll() is None:
                peer.kill()

    def assert_exact(self, peer: Peer) -> None:
        assert weights_folder.verify(peer.root, self.manifest["files"]) == []
        assert weights_folder.look(peer.root).ready
        assert not (peer.root / manifest.PARTIAL).exists()


class Wire:
    """Between two nodes: it passes on what comes, and can flip bits, be slow or late, or end after some bytes."""

    def __init__(
        self, target: tuple[str, int], flips: int = 0, rate: float = 0, cut_after: int = 0, delay_s: float = 0
    ) -> None:
        self.target, self.flips, self.rate, self.cut_after, self.delay_s = target, flips, rate, cut_after, delay_s
        self.passed = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.place = {"name": "wire", "address": "127.0.0.1", "port": self.listener.getsockname()[1]}
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(self.target)
            except OSError:
                near.close()
                continue
            threading.Thread(target=self._pass, args=(near, far, False), daemon=True).start()
            threading.Thread(target=self._pass, args=(far, near, True), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, back: bool) -> None:
        try:
            while data := source.recv(1 << 15):
                if back and self.flips and len(data) > 8000:
                    self.flips -= 1
                    data = data[:5000] + bytes([data[5000] ^ 4]) + data[5001:]
                if back:
                    time.sleep(self.delay_s + (len(data) / self.rate if self.rate else 0))
                self.passed += len(data) if back else 0
                if self.cut_after and self.passed > self.cut_after:
                    self.listener.close()
                    break
                target.sendall(data)
        except OSError:
            pass
        source.close()
        target.close()
