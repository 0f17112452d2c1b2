# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where only ssh may pass: whole files by rsync, from the node before, with the same promises. ssh is a stand-in here."""

from __future__ import annotations

import time
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.weights import folder, manifest
from ansible_collections.fullrank.serving.plugins.module_utils.weights.transfer.rsync import rsync


def start(chain: Any, *peers: Any, **settings: Any) -> None:
    for peer in peers:
        chain.start(peer, rsh=chain.rsh(peer), **settings)


def test_every_node_gets_every_file_and_no_node_listens(make: Any) -> None:
    chain = make(4)
    start(chain, *chain.peers)
    for peer in chain.peers[1:]:
        found = peer.wait()
        chain.assert_exact(peer)
        assert found["bytes"] == chain.total
        assert chain.total <= found["received"] < 1.02 * chain.total
    assert [peer.process.wait() for peer in chain.peers] == [0] * 4  # there is nothing to stay for


def test_a_dead_node_in_the_middle_is_bypassed(make: Any) -> None:
    chain = make(3)
    first, second, third = chain.peers
    (chain.folder / f"{second.address}.down").touch()
    start(chain, first, third)
    third.wait()
    chain.assert_exact(third)
    assert f"leaving n2: {second.address} is down" in (chain.folder / "n3.log").read_text()


def test_a_node_to_which_nothing_comes_is_left(make: Any) -> None:
    chain = make(3)
    first, _second, third = chain.peers
    start(chain, first, third)  # the second answers, and has nothing
    third.wait()
    chain.assert_exact(third)
    assert "leaving n2: it has not got what is missing here" in (chain.folder / "n3.log").read_text()


def test_an_interruption_costs_nothing_that_has_come_and_a_changed_file_only_what_differs(make: Any) -> None:
    chain = make(2, {"a": 60_000_000})
    first, second = chain.peers
    start(chain, first)
    chain.start(second, rsh=chain.rsh(second, rate=10_000))
    partial = second.root / manifest.PARTIAL / "a"
    while not (partial.exists() and partial.stat().st_size > 20_000_000):
        time.sleep(0.05)
    second.kill()
    assert not folder.look(second.root).ready
    start(chain, second)
    second.wait()
    chain.assert_exact(second)
    assert second.progress["received"] < 41_000_000
    with (second.root / "a").open("r+b") as file:
        file.seek(7_000_000)
        file.write(b"?")
    folder.unready(second.root)
    start(chain, second)
    second.wait()
    chain.assert_exact(second)
    assert 0 < second.progress["received"] < 1_000_000


def test_a_damaged_source_is_named_and_nothing_is_put_in_place(make: Any) -> None:
    chain = make(2)
    first, second = chain.peers
    with (first.root / "c.safetensors").open("r+b") as file:
        file.write(b"?")
    start(chain, first, second)
    message = second.wait("failed")["error"]
    assert "c.safetensors came 3 times with a wrong sha256" in message and "verify that of n1" in message
    assert not (second.root / "c.safetensors").exists() and not folder.look(second.root).ready


def test_when_no_node_can_be_reached_the_reason_is_reported(make: Any) -> None:
    chain = make(2)
    first, second = chain.peers
    (chain.folder / f"{first.address}.down").touch()
    start(chain, second, stall_s=3)
    assert f"n1: {first.address} is down" in second.wait("failed")["error"]


def test_an_address_of_ipv6_is_no_path() -> None:
    assert rsync("ssh", "fd00::1", "/srv/m/a", [], "/srv/m/b")[-2:] == ["[fd00::1]:/srv/m/a", "/srv/m/b"]
