# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The messages of the supervisor of the version before, as a group meets it during an upgrade; `supervisor_world` plays both.

Messages between the supervisors of a group: signed, and fresh.

A datagram can be lost, delayed, repeated, or sent by somebody else on the network. One that counts is signed with the
group's key (HMAC-SHA256, RFC 2104) and answers a challenge that the receiver made a few seconds ago: every message brings
a new nonce and returns the last one that came. So an old message is worth nothing, without trust in anybody's clock and
without memory over a reboot.
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


class Wire:
    """This end of the conversation with one other rank; times in seconds since this node started."""

    def __init__(self, key: bytes, me: int, peer: int, new_nonce: Callable[[], str]) -> None:
        self._key = key
        self._me, self._peer = me, peer
        self._new_nonce = new_nonce
        self._made: dict[str, float] = {}
        self._echo = ""
        self._applied = ""
        self._sequence = 0
        self._last_sequence = 0
        self._last_at = float("-inf")

    def pack(self, body: Mapping[str, Any], now: float) -> bytes:
        """A datagram with ``body``."""
        nonce = self._new_nonce()
        self._made = {old: at for old, at in self._made.items() if now - at <= KEEP_S} | {nonce: now}
        # the clock, not a counter: a supervisor that restarts goes on above its earlier numbers
        self._sequence = max(self._sequence + 1, int(now * 1e6))
        words = {
            "from": self._me,
            "to": self._peer,
            "nonce": nonce,
            "echo": self._echo,
            "applied": self._applied,
            "sequence": self._sequence,
            "body": body,
        }
        text = json.dumps(words, separators=(",", ":")).encode()
        return self._sign(text) + b" " + text

    def unpack(self, data: bytes, now: float) -> Message | None:
        """The message of a datagram; None for one that is not from the other end, not fresh, or overtaken by a later one."""
        signature, _unused, text = data.partition(b" ")
        if not hmac.compare_digest(signature, self._sign(text)):
            return None
        words = json.loads(text)
        if (words["from"], words["to"]) != (self._peer, self._me):
            return None
        self._echo = words["nonce"]
        if now - self._made.get(words["echo"], float("-inf")) > FRESH_S:
            return None  # its nonce is answered all the same: that is how a conversation begins
        if words["sequence"] <= self._last_sequence and now - self._last_at <= FRESH_S:
            return None
        self._last_sequence, self._last_at = words["sequence"], now
        self._applied = words["nonce"]
        return Message(words["body"], self._made.get(words["applied"], float("-inf")))

    def _sign(self, text: bytes) -> bytes:
        return hmac.new(self._key, text, hashlib.sha256).hexdigest().encode()
