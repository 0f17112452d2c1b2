# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes wrong on the way, with processes on loopback: every copy is exact in the end, and little comes twice."""

from __future__ import annotations

import random
import signal
import time
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.weights import folder
from chains import SLICE, Wire


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
    assert "arrives damaged again and again, last from wire" in second.wait("failed")["error"]
    assert not folder.look(second.root).ready


def test_a_dead_node_in_the_middle_is_bypassed(make: Any) -> None:
    chain = make(4, {"big": 20_000_000})
    # whoever starts late: no node gets it from the source at once
    before = [Wire((chain.peers[0].address, chain.peers[0].port), rate=2e6).place]
    chain.start(chain.peers[0])
    for peer in chain.peers[1:]:
        chain.start(peer, before)
        before = [peer.place, *before]
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
        message = peer.wait("failed")["error"]
        assert "bytes are missing, and nothing new came for" in message
        assert not folder.look(peer.root).ready
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


def test_a_damaged_source_is_named_and_nothing_is_put_in_place(make: Any) -> None:
    chain = make(2)
    first, second = chain.peers
    with (first.root / "c.safetensors").open("r+b") as file:
        file.write(b"?")
    chain.start_all()
    message = second.wait("failed")["error"]
    assert "c.safetensors came 3 times with a wrong sha256" in message and "verify that of n1" in message
    assert not (second.root / "c.safetensors").exists() and not folder.look(second.root).ready


def test_a_disk_that_fills_up_is_reported_and_the_next_transfer_brings_the_rest(make: Any) -> None:
    """The node's folder is on a file system of 3 MB, which only the node sees; what fits is copied out of it."""
    chain = make(2)
    first, second = chain.peers
    saved = chain.folder / "saved"
    saved.mkdir()
    small = f'mount -t tmpfs -o size=3m none "$0" && "$@"; cp -r "$0/." {saved}'
    chain.start(first)
    chain.start(second, within=["unshare", "--mount", "sh", "-c", small, str(second.root)])
    message = second.wait("failed")["error"]
    assert "No space left on device" in message and "bytes are missing" in message
    second.process.wait()
    had = second.progress["bytes"]
    assert 2_000_000 < had < chain.total and not folder.look(saved).ready
    second.root = saved
    chain.start(second)
    second.wait()
    chain.assert_exact(second)
    assert 0 < second.progress["received"] <= chain.total - had


def test_a_port_that_is_in_use_is_reported(make: Any) -> None:
    chain = make(2)
    first, second = chain.peers
    second.address, second.port = first.address, first.port
    chain.start(first)
    first.wait()
    chain.start(second)
    expected = f"it cannot listen on {first.address}, port {first.port}: Address already in use"
    assert second.wait("failed")["error"] == expected
