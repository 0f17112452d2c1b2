# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What arrives in a chain, what it costs, and who is answered."""

from __future__ import annotations

import http.client
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.weights import folder
from chains import LIMIT_S, SIZES, SLICE, TOKEN, Wire


def test_every_node_of_a_chain_gets_every_file_once(make: Any) -> None:
    chain = make(4)
    chain.start_all()
    for peer in chain.peers[1:]:
        found = peer.wait()
        assert (found["bytes"], found["received"]) == (chain.total, chain.total)
        chain.assert_exact(peer)


def test_complete_nodes_leave_when_no_node_asks_any_more(make: Any) -> None:
    chain = make(2)
    chain.start_all(linger_s=6)
    assert [peer.process.wait(LIMIT_S) for peer in chain.peers] == [0, 0]
    chain.assert_exact(chain.peers[1])


def test_without_the_token_nothing_is_served_and_unknown_addresses_get_no_answer(make: Any) -> None:
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
        folder.unready(second.root)
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


def test_comparing_what_is_here_is_no_standstill(make: Any) -> None:
    chain = make(2)
    first, second = chain.peers
    chain.start_all()
    second.wait()
    second.kill()
    with (second.root / "c.safetensors").open("r+b") as file:
        file.write(b"?")
    # 46 slices are compared, two at a time, and every answer takes 0.1 s
    chain.start(second, [Wire((first.address, first.port), delay_s=0.1).place], stall_s=1)
    second.wait()
    chain.assert_exact(second)
    assert second.progress["received"] == SLICE
