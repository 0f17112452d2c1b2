# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages between the supervisors of a group: signed, and fresh. Pure; private to this collection.

A datagram can be lost, delayed, repeated, or sent by somebody else on the network. One that counts is signed with the
group's key (HMAC-SHA256, RFC 2104) and answers a challenge that the receiver made a few seconds ago: every message brings
a new nonce and returns the last one that *counted*. So an old message is worth nothing and changes nothing, without trust in
anybody's clock and without memory over a reboot.

A conversation begins, and goes on after a silence, by an answer: a signed message that does not count may be the first of a
supervisor that was started again, or a recording. Both get the same answer, our last words with its nonce, and we forget it.
Only whoever made that nonce a moment ago can use the answer, and it brings him ours. An answer is never answered.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

FRESH_S = 4.0
"""How old the challenge may be that a message answers. Shorter than the silence after which a rank counts as gone."""

KEEP_S = 20.0
"""How long our own nonces are remembered, to know what the other end had heard."""

BIGGEST = 8192
"""Bytes of a datagram that are read; a message of ours has less than 2000."""


@dataclass(frozen=True)
class Message:
    """A message of the other end.

    body: its words. heard_at: our own time at which we made the last message that it has acted on; minus infinity when
    there is none that we remember.
    """

    body: Mapping[str, Any]
    heard_at: float


@dataclass(frozen=True)
class Unproven:
    """A message that the other end has signed, now or long ago: to be answered (`Wire.answer`) and otherwise forgotten."""

    nonce: str


class Wire:
    """This end of the conversation with one other rank; times in seconds since this node started."""

    def __init__(self, key: bytes, me: int, peer: int, new_nonce: Callable[[], str]) -> None:
        self._key = key
        self._me, self._peer = me, peer
        self._new_nonce = new_nonce
        self._made: dict[str, float] = {}
        self._words: dict[str, Any] = {}
        self._echo = ""
        self._sequence = 0
        self._last_sequence = 0
        self._last_at = float("-inf")

    def pack(self, body: Mapping[str, Any], now: float) -> bytes:
        """A datagram with ``body`` and a new nonce."""
        nonce = self._new_nonce()
        self._made = {old: at for old, at in self._made.items() if now - at <= KEEP_S} | {nonce: now}
        # the words were made with what had counted up to now; what counts later is not in them, however often they are sent
        self._words = {"nonce": nonce, "applied": self._echo, "body": body}
        return self._datagram(self._echo, now)

    def again(self, now: float) -> bytes:
        """What `pack` made last, for when that was lost, to the challenge that was heard last; empty before the first."""
        return self._datagram(self._echo, now) if self._words else b""

    def answer(self, heard: Unproven, now: float) -> bytes:
        """What `pack` made last, as an answer; empty before the first.

        It makes no nonce: whoever repeats recordings, however fast, takes no memory.
        """
        return self._datagram(heard.nonce, now, {"answer": True}) if self._words else b""

    def unpack(self, data: bytes, now: float) -> Message | Unproven | None:
        """The message of a datagram; None for one that is not from the other end, or was overtaken by a later one."""
        signature, _unused, text = data.partition(b" ")
        if not hmac.compare_digest(signature, self._sign(text)):
            return None
        try:
            words = json.loads(text)
            ends = (words["from"], words["to"])
            nonce, sequence, body = str(words["nonce"]), int(words["sequence"]), words["body"]
            age = now - self._made.get(words["echo"], float("-inf"))
            heard_at = self._made.get(words["applied"], float("-inf"))
        except (ValueError, KeyError, TypeError):  # of another version, which we do not know
            return None
        if ends != (self._peer, self._me):
            return None
        if age > FRESH_S:
            return None if words.get("answer") else Unproven(nonce)
        if sequence <= self._last_sequence and now - self._last_at <= FRESH_S:
            return None
        self._last_sequence, self._last_at = sequence, now
        self._echo = nonce
        return Message(body, heard_at)

    def _datagram(self, echo: str, now: float, more: Mapping[str, Any] | None = None) -> bytes:
        # the clock, not a counter: a supervisor that restarts goes on above its earlier numbers
        self._sequence = max(self._sequence + 1, int(now * 1e6))
        words = {
            "from": self._me,
            "to": self._peer,
            "echo": echo,
            "sequence": self._sequence,
            **self._words,
            **(more or {}),
        }
        text = json.dumps(words, separators=(",", ":")).encode()
        return self._sign(text) + b" " + text

    def _sign(self, text: bytes) -> bytes:
        return hmac.new(self._key, text, hashlib.sha256).hexdigest().encode()
