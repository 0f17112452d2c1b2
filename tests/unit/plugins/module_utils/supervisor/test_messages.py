# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages between supervisors: whose they are, and of when."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.supervisor.messages import FRESH_S, Wire


class Pair:
    """The head and one other rank, who have begun to talk."""

    def __init__(self, key: bytes = b"k", other_key: bytes = b"k") -> None:
        count = itertools.count()
        self.head = Wire(key, 0, 1, lambda: f"h{next(count)}")
        self.rank = Wire(other_key, 1, 0, lambda: f"r{next(count)}")

    def greeted(self, now: float = 100.0) -> Pair:
        assert self.rank.unpack(self.head.pack({}, now), now) is None  # nothing was asked yet
        assert self.head.unpack(self.rank.pack({}, now), now) is not None
        return self


def body(message: Any) -> Any:
    return None if message is None else message.body


def test_a_conversation_begins_with_a_message_that_does_not_count() -> None:
    pair = Pair().greeted()
    assert body(pair.rank.unpack(pair.head.pack({"a": 1}, 101), 101)) == {"a": 1}


def test_another_key_is_not_heard() -> None:
    pair = Pair(b"k", b"other")
    pair.rank.unpack(pair.head.pack({}, 100), 100)
    assert pair.head.unpack(pair.rank.pack({}, 100), 100) is None


@pytest.mark.parametrize("garbage", [b"", b"x", b"\xff\xfe \x00", b"0" * 64 + b" {}"])
def test_garbage_is_not_heard(garbage: bytes) -> None:
    assert Pair().greeted().head.unpack(garbage, 100) is None


def test_a_message_is_for_one_rank_only_and_is_not_heard_twice() -> None:
    pair = Pair().greeted()
    data = pair.head.pack({"epoch": 7}, 101)
    assert Wire(b"k", 2, 0, lambda: "x").unpack(data, 101) is None
    assert pair.head.unpack(data, 101) is None  # its own, sent back
    assert body(pair.rank.unpack(data, 101)) == {"epoch": 7}
    assert pair.rank.unpack(data, 101) is None
    assert pair.rank.unpack(data, 101 + FRESH_S + 1) is None


def test_what_was_overtaken_is_not_heard() -> None:
    pair = Pair().greeted()
    late, early = pair.head.pack({"epoch": 7}, 101), pair.head.pack({"epoch": 0}, 101.1)
    assert body(pair.rank.unpack(early, 101.2)) == {"epoch": 0}
    assert pair.rank.unpack(late, 101.3) is None


def test_what_was_recorded_before_a_boot_is_not_heard_after_it() -> None:
    pair = Pair().greeted()
    recorded = pair.head.pack({"epoch": 7}, 101)
    again = Wire(b"k", 1, 0, iter(["n1", "n2"]).__next__)
    again.pack({}, 5)  # this node's time begins again
    assert again.unpack(recorded, 5) is None


def test_the_sender_learns_what_was_acted_on() -> None:
    pair = Pair().greeted()
    pair.rank.unpack(pair.head.pack({}, 101), 101)
    message = pair.head.unpack(pair.rank.pack({}, 102), 102)
    assert message is not None and message.heard_at == 101
    fresh = Wire(b"k", 0, 1, lambda: "z")  # the head's supervisor was started again
    fresh.pack({}, 103)
    assert fresh.unpack(pair.rank.pack({}, 103), 103) is None
