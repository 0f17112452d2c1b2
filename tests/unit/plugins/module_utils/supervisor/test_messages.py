# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages between supervisors: whose they are, and of when."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
from typing import Any

import pytest
import supervisor_before_messages
from ansible_collections.fullrank.serving.plugins.module_utils.supervisor.messages import (
    FRESH_S,
    Message,
    Unproven,
    Wire,
)


class Pair:
    """The head and one other rank, who have begun to talk."""

    def __init__(self, key: bytes = b"k", other_key: bytes = b"k") -> None:
        count = itertools.count()
        self.head = Wire(key, 0, 1, lambda: f"h{next(count)}")
        self.rank = Wire(other_key, 1, 0, lambda: f"r{next(count)}")

    def greeted(self, now: float = 100.0) -> Pair:
        first, second = self.head.pack({}, now), self.rank.pack({}, now)
        heard = self.rank.unpack(first, now)
        assert isinstance(heard, Unproven)  # nothing was asked yet
        assert isinstance(self.head.unpack(self.rank.answer(heard, now), now), Message)
        assert isinstance(self.head.unpack(second, now), Unproven)
        assert isinstance(self.rank.unpack(self.head.again(now), now), Message)
        return self


def body(message: Any) -> Any:
    return message.body if isinstance(message, Message) else message


def test_a_conversation_begins_with_an_answer() -> None:
    pair = Pair().greeted()
    assert body(pair.rank.unpack(pair.head.pack({"a": 1}, 101), 101)) == {"a": 1}


def test_another_key_is_not_heard() -> None:
    pair = Pair(b"k", b"other")
    assert pair.rank.unpack(pair.head.pack({}, 100), 100) is None
    assert pair.head.unpack(pair.rank.pack({}, 100), 100) is None


@pytest.mark.parametrize("garbage", [b"", b"x", b"\xff\xfe \x00", b"0" * 64 + b" {}"])
def test_garbage_is_not_heard(garbage: bytes) -> None:
    assert Pair().greeted().head.unpack(garbage, 100) is None


@pytest.mark.parametrize(
    "words", [b"", b"7", b"[]", b"{}", b'{"from":1,"to":0}', b"{", b'{"from":1,"to":0,"nonce":1,"sequence":[]}']
)
def test_words_of_another_version_with_the_key_are_not_heard(words: bytes) -> None:
    head = Pair().greeted().head
    assert head.unpack(hmac.new(b"k", words, hashlib.sha256).hexdigest().encode() + b" " + words, 100) is None


def test_a_message_is_for_one_rank_only_and_is_not_heard_twice() -> None:
    pair = Pair().greeted()
    data = pair.head.pack({"epoch": 7}, 101)
    assert Wire(b"k", 2, 0, lambda: "x").unpack(data, 101) is None
    assert pair.head.unpack(data, 101) is None  # its own, sent back
    assert body(pair.rank.unpack(data, 101)) == {"epoch": 7}
    assert pair.rank.unpack(data, 101) is None
    assert isinstance(pair.rank.unpack(data, 101 + FRESH_S + 1), Unproven)


def test_what_was_overtaken_is_not_heard() -> None:
    pair = Pair().greeted()
    late, early = pair.head.pack({"epoch": 7}, 101), pair.head.pack({"epoch": 0}, 101.1)
    assert body(pair.rank.unpack(early, 101.2)) == {"epoch": 0}
    assert pair.rank.unpack(late, 101.3) is None


def test_a_recording_changes_nothing() -> None:
    """The version before took the nonce of every signed message: from then on the other end heard answers to an old challenge."""
    pair = Pair().greeted()
    recorded = [pair.head.pack({"epoch": 7}, 101), pair.rank.pack({}, 101)]
    pair.rank.unpack(recorded[0], 101)
    pair.head.unpack(recorded[1], 101)
    for second in range(200, 260):
        for _ in range(20):
            pair.rank.unpack(recorded[0], second)
            pair.head.unpack(recorded[1], second)
        if second > 201:
            assert isinstance(pair.rank.unpack(pair.head.pack({}, second), second), Message)
            assert isinstance(pair.head.unpack(pair.rank.pack({}, second), second), Message)
        else:  # they had not talked for long
            heard = pair.head.unpack(pair.rank.pack({}, second), second)
            pair.head.pack({}, second)
            if isinstance(heard, Unproven):
                pair.rank.unpack(pair.head.answer(heard, second), second)


def test_an_answer_to_a_recording_is_worth_nothing_and_is_not_answered() -> None:
    pair = Pair().greeted()
    recorded = pair.head.pack({"epoch": 7}, 101)
    pair.rank.pack({}, 200)
    heard = pair.rank.unpack(recorded, 200)
    assert isinstance(heard, Unproven)
    assert pair.head.unpack(pair.rank.answer(heard, 200), 200) is None


def test_answers_make_no_nonces() -> None:
    pair = Pair().greeted()
    before = dict(pair.rank._made)
    for _ in range(1000):
        pair.rank.answer(Unproven("x"), 101)
    assert pair.rank._made == before


def test_what_was_recorded_before_a_boot_is_not_heard_after_it() -> None:
    pair = Pair().greeted()
    recorded = pair.head.pack({"epoch": 7}, 101)
    again = Wire(b"k", 1, 0, iter(["n1", "n2"]).__next__)
    assert again.again(5) == again.answer(Unproven("x"), 5) == b""  # it has no words yet
    again.pack({}, 5)  # this node's time begins again
    assert isinstance(again.unpack(recorded, 5), Unproven)


def test_the_sender_learns_what_was_acted_on() -> None:
    pair = Pair().greeted()
    pair.rank.unpack(pair.head.pack({}, 101), 101)
    message = pair.head.unpack(pair.rank.pack({}, 102), 102)
    assert isinstance(message, Message) and message.heard_at == 101
    fresh = Wire(b"k", 0, 1, lambda: "z")  # the head's supervisor was started again
    fresh.pack({}, 103)
    assert isinstance(fresh.unpack(pair.rank.pack({}, 103), 103), Unproven)


def test_what_is_sent_again_returns_the_last_nonce_and_claims_no_more_than_before() -> None:
    """Else a rank that starts its engine would be taken for one that has heard of the epoch's end and is stopped."""
    pair = Pair().greeted()
    applied = pair.head._echo
    pair.head.pack({"epoch": 7}, 101)
    pair.head.unpack(pair.rank.pack({}, 101.1), 101.1)
    first = json.loads(pair.head.again(101.5).partition(b" ")[2])
    second = json.loads(pair.head.again(101.6).partition(b" ")[2])
    assert first["echo"] == second["echo"] == pair.head._echo != applied == first["applied"] == second["applied"]
    assert (first["nonce"], first["body"]) == (second["nonce"], {"epoch": 7}) and first["sequence"] < second["sequence"]


@pytest.mark.parametrize("old_is_head", [True, False])
def test_the_version_before_is_understood_and_understands(old_is_head: bool) -> None:
    count = itertools.count()

    def nonce() -> str:
        return f"n{next(count)}"

    old, new = supervisor_before_messages.Wire(b"k", int(not old_is_head), int(old_is_head), nonce), None
    new = Wire(b"k", int(old_is_head), int(not old_is_head), nonce)
    heard = [False, False]
    for second in range(100, 104):
        heard[0] = old.unpack(new.pack({}, second), second) is not None
        got = new.unpack(old.pack({}, second), second)
        heard[1] = isinstance(got, Message)
        if isinstance(got, Unproven):
            assert old.unpack(new.answer(got, second), second) is not None
    assert heard == [True, True]
