"""The nodes of a chain as processes on loopback addresses: what arrives, from whom, and what goes wrong on the way."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils import manifest as manifests
from ansible_collections.fullrank.serving.plugins.module_utils import weights

CHECKOUT = Path(__file__).resolve().parents[2]
MODULE = "ansible_collections.fullrank.serving.plugins.module_utils.weights_peer"
TOKEN = "a-token"
SLICE = 1 << 16
LIMIT_S = 90


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
                if found["state"] == state:
                    return found
                assert found["state"] != "failed", found
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
        self.manifest = manifests.build({"hub": "path", "repo": "r", "revision": "1"}, files)
        weights.write_manifest(self.peers[0].root, self.manifest)
        weights.mark_ready(self.peers[0].root)

    def _peer(self, name: str, address: str) -> Peer:
        with socket.socket() as probe:
            probe.bind((address, 0))
            port = probe.getsockname()[1]
        root = self.folder / name
        root.mkdir(parents=True)
        return Peer(name, address, root, port)

    def start(self, peer: Peer, upstreams: list[dict[str, Any]] | None = None, **given: Any) -> None:
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
            **given,
        }
        path = self.folder / f"{peer.name}.json"
        path.write_text(json.dumps(config))
        (self.folder / f"{peer.name}.progress").unlink(missing_ok=True)
        with (self.folder / f"{peer.name}.log").open("a") as log:
            peer.process = subprocess.Popen(
                [sys.executable, "-m", MODULE, str(path)],
                env={**os.environ, "PYTHONPATH": str(CHECKOUT / "collections")},
                stdout=log,
                stderr=log,
                text=True,
            )

    def start_all(self, **given: Any) -> None:
        for peer in self.peers:
            self.start(peer, **given)

    def stop_all(self) -> None:
        for peer in self.peers:
            if peer.process and peer.process.poll() is None:
                peer.kill()

    def assert_exact(self, peer: Peer) -> None:
        assert weights.verify(peer.root, self.manifest["files"]) == []
        assert weights.look(peer.root).ready
        assert not (peer.root / manifests.PARTIAL).exists()


SIZES = {"a.json": 10, "b/empty": 0, "c.safetensors": 3_000_000, "d.safetensors": 2_000_001, "e.safetensors": SLICE}


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Any]:
    made: list[Chain] = []

    def chain(count: int, sizes: dict[str, int] | None = None) -> Chain:
        made.append(Chain(tmp_path / f"chain{len(made)}", count, sizes or SIZES))
        return made[-1]

    yield chain
    for one in made:
        one.stop_all()


class Wire:
    """Between two nodes: it passes on what comes, and can flip bits, be slow, or end after some bytes."""

    def __init__(self, target: tuple[str, int], flips: int = 0, rate: float = 0, cut_after: int = 0) -> None:
        self.target, self.flips, self.rate, self.cut_after = target, flips, rate, cut_after
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
                if back and self.rate:
                    time.sleep(len(data) / self.rate)
                self.passed += len(data) if back else 0
                if self.cut_after and self.passed > self.cut_after:
                    self.listener.close()
                    break
                target.sendall(data)
        except OSError:
            pass
        source.close()
        target.close()


def test_every_node_of_a_chain_gets_every_file_once(make: Any) -> None:
    chain = make(4)
    chain.start_all()
    for peer in chain.peers[1:]:
        found = peer.wait()
        assert (found["bytes"], found["received"]) == (chain.total, chain.total)
        chain.assert_exact(peer)


def test_complete_nodes_leave_when_nobody_asks_any_more(make: Any) -> None:
    chain = make(2)
    chain.start_all(linger_s=6)
    assert [peer.process.wait(LIMIT_S) for peer in chain.peers] == [0, 0]
    chain.assert_exact(chain.peers[1])


def test_without_the_token_nothing_is_told_and_strangers_get_no_answer(make: Any) -> None:
    chain = make(2)
    source = chain.peers[0]
    chain.start(source)
    source.wait()

    def ask(path: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(source.address, source.port, timeout=10)
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()

    assert ask(f"/{TOKEN}/status")[0] == 200
    assert ask(f"/{TOKEN}/0/0") == (200, (source.root / "a.json").read_bytes())
    for path in (
        "/",
        "/status",
        "/0/0",
        "/other/0/0",
        f"/{TOKEN}/9/0",
        f"/{TOKEN}/0/1",
        f"/{TOKEN}/../0",
        f"/{TOKEN}/-1/0",
    ):
        assert ask(path) == (404, b""), path
    source.kill()
    chain.start(source, peers=["127.0.0.99"])
    source.wait()
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        ask(f"/{TOKEN}/status")


def test_flipped_bits_are_caught_by_the_next_node_and_only_those_slices_come_again(make: Any) -> None:
    chain = make(3)
    first, second, third = chain.peers
    wire = Wire((first.address, first.port), flips=4)
    chain.start(first)
    chain.start(second, [wire.place])
    chain.start(third)
    for peer in (second, third):
        peer.wait()
        chain.assert_exact(peer)
    assert wire.flips == 0
    assert chain.total < second.progress["received"] <= chain.total + 4 * SLICE
    assert third.progress["received"] == chain.total


def test_a_wire_that_damages_everything_is_named(make: Any) -> None:
    chain = make(2)
    first, second = chain.peers
    chain.start(first)
    chain.start(second, [Wire((first.address, first.port), flips=10**9).place])
    assert "arrives damaged again and again, last from wire" in second.wait("failed")["message"]
    assert not weights.look(second.root).ready


def test_a_dead_node_in_the_middle_is_bypassed(make: Any) -> None:
    chain = make(4, {"big": 20_000_000})
    slow = Wire((chain.peers[0].address, chain.peers[0].port), rate=4e6)
    chain.start(chain.peers[0])
    chain.start(chain.peers[1], [slow.place])
    for peer in chain.peers[2:]:
        chain.start(peer)
    chain.peers[2].wait("receiving")
    while chain.peers[3].progress["bytes"] < 2_000_000:
        time.sleep(0.05)
    chain.peers[2].kill()
    for peer in (chain.peers[1], chain.peers[3]):
        peer.wait()
        chain.assert_exact(peer)
    assert chain.peers[3].progress["received"] <= chain.total + 2 * SLICE


def test_a_slow_node_in_the_middle_is_bypassed(make: Any) -> None:
    chain = make(3, {"big": 40_000_000})
    first, second, third = chain.peers
    chain.start(first)
    chain.start(second, [Wire((first.address, first.port), rate=5e4).place])
    second.wait("receiving")
    while second.progress["bytes"] < 2 * SLICE:
        time.sleep(0.05)
    chain.start(third)
    third.wait()  # the slow one alone would need minutes
    chain.assert_exact(third)
    assert second.progress["bytes"] < chain.total / 2
    assert "leaving n2: it is slow" in (chain.folder / "n3.log").read_text()


def test_when_the_source_dies_the_others_say_so_and_the_next_transfer_brings_the_rest_only(make: Any) -> None:
    chain = make(3, {"a": 5_000_000, "b": 5_000_000, "c": 5_000_000})
    first, second, third = chain.peers
    wire = Wire((first.address, first.port), cut_after=8_000_000)
    chain.start(first)
    first.wait()
    chain.start(second, [wire.place], stall_s=5)
    chain.start(third, [second.place], stall_s=5)
    for peer in (second, third):
        message = peer.wait("failed")["message"]
        assert "bytes are missing, and nothing new came for" in message
        assert not weights.look(peer.root).ready
    for peer in (second, third):
        peer.process.wait()
    had = second.progress["bytes"]
    assert had > 7_000_000
    chain.start(second)
    chain.start(third)
    for peer in (second, third):
        peer.wait()
        chain.assert_exact(peer)
    assert second.progress["received"] == chain.total - had


def test_ten_interruptions_cost_no_more_than_the_slices_on_their_way(make: Any) -> None:
    chain = make(3, {"a": 4_000_000, "b": 4_000_000, "c": 4_000_000})
    first, second, third = chain.peers
    wire = Wire((first.address, first.port), rate=3e6)
    chain.start(first)
    rng = random.Random(11)
    for turn in range(1, 11):
        chain.start(second, [wire.place])
        chain.start(third, [second.place])
        aim = chain.total * (turn - rng.random()) / 11
        while wire.passed < aim:
            time.sleep(0.01)
        second.process.send_signal(rng.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGINT]))
        third.kill()
        second.process.wait()
    chain.start(second, [wire.place])
    chain.start(third, [second.place])
    for peer in (second, third):
        peer.wait()
        chain.assert_exact(peer)
    headers = 300 * 11 * (chain.total // SLICE)
    buffered = 11 * 2 * SLICE + 11 * 2 * 300_000  # slices under way, and what the sockets of the wire held
    assert wire.passed <= chain.total + buffered + headers


@pytest.mark.parametrize("ready", [True, False], ids=["with READY", "without"])
def test_a_file_that_changed_on_disk_costs_its_slice_only(make: Any, ready: bool) -> None:
    chain = make(2)
    chain.start_all()
    _, second = chain.peers
    second.wait()
    second.kill()
    with (second.root / "c.safetensors").open("r+b") as file:
        file.seek(1_000_000)
        file.write(b"?")
    if not ready:
        weights.unready(second.root)
    chain.start(second)
    second.wait()
    chain.assert_exact(second)
    assert second.progress["received"] == SLICE


def test_what_lies_behind_links_is_not_changed(make: Any, tmp_path: Path) -> None:
    chain = make(2)
    _, second = chain.peers
    blob = tmp_path / "blob"
    blob.write_bytes(bytes(SIZES["c.safetensors"]))
    (second.root / "c.safetensors").symlink_to(blob)
    chain.start_all()
    second.wait()
    chain.assert_exact(second)
    assert not (second.root / "c.safetensors").is_symlink()
    assert blob.read_bytes() == bytes(SIZES["c.safetensors"])


def test_a_damaged_source_is_named_and_nothing_is_put_in_place(make: Any) -> None:
    chain = make(2)
    first, second = chain.peers
    with (first.root / "c.safetensors").open("r+b") as file:
        file.write(b"?")
    chain.start_all()
    message = second.wait("failed")["message"]
    assert "c.safetensors came 3 times with a wrong sha256" in message and "verify that of n1" in message
    assert not (second.root / "c.safetensors").exists() and not weights.look(second.root).ready


def test_a_full_disk_is_said(make: Any, tmp_path: Path) -> None:
    chain = make(2)
    _, second = chain.peers
    (second.root / ".fullrank").mkdir()
    (second.root / ".fullrank/partial").symlink_to("/dev/full")
    chain.start_all()
    assert "/.fullrank/partial" in second.wait("failed")["message"]
