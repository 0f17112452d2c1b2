# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fingerprints of the keys in an OpenPGP public key file, without gpg: a minimal server has none.

RFC 9580: armor in section 6, packets in section 4, fingerprints of version 4 keys in section 5.5.4.2.

PRIVATE to this collection.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re

PUBLIC_KEY = 6  # packet type; subkeys are another one, and users do not name them by fingerprint


def fingerprints(content: bytes) -> list[str]:
    """The fingerprints of the primary keys, as upper-case hexadecimal digits.

    Raises ValueError when the content is no OpenPGP data (an error page is a frequent one).
    """
    found = []
    for kind, body in packets(dearmored(content)):
        if kind == PUBLIC_KEY:
            if body[:1] != b"\x04":
                raise ValueError(f"a key of version {body[0] if body else '?'}, only 4 is known")
            named = b"\x99" + len(body).to_bytes(2, "big") + body
            # a name, as the standard has it; FIPS machines refuse SHA-1 for anything else
            found.append(hashlib.sha1(named, usedforsecurity=False).hexdigest().upper())
    if not found:
        raise ValueError("no public key in it")
    return found


def dearmored(content: bytes) -> bytes:
    """The binary form of what may be armored; several blocks become one."""
    blocks = re.findall(rb"-----BEGIN PGP PUBLIC KEY BLOCK-----(.*?)-----END PGP", content, re.DOTALL)
    if not blocks:
        return content
    try:
        return b"".join(base64.b64decode(_radix64(block), validate=True) for block in blocks)
    except binascii.Error as error:
        raise ValueError(f"the armor is damaged: {error}") from error


def _radix64(block: bytes) -> bytes:
    """The encoded lines: without headers (up to the first empty line) and checksum (``=`` and four characters)."""
    lines = block.replace(b"\r", b"").split(b"\n")
    start = next((number for number, line in enumerate(lines) if number and not line.strip()), 0)
    return b"".join(line.strip() for line in lines[start:] if not re.fullmatch(rb"=[A-Za-z0-9+/]{4}", line.strip()))


def packets(content: bytes) -> list[tuple[int, bytes]]:
    """(type, body) of each packet."""
    found, place = [], 0
    while place < len(content):
        first = content[place]
        if not first & 0x80:
            raise ValueError("not an OpenPGP file")
        try:
            if first & 0x40:
                kind, (start, length) = first & 0x3F, _new_length(content, place + 1)
            else:
                kind, (start, length) = first >> 2 & 0x0F, _old_length(content, place + 1, first & 3)
        except IndexError as error:
            raise ValueError("the file is cut off") from error
        if start + length > len(content):
            raise ValueError("the file is cut off")
        found.append((kind, content[start : start + length]))
        place = start + length
    return found


def _new_length(content: bytes, place: int) -> tuple[int, int]:
    first = content[place]
    if first < 192:
        return place + 1, first
    if first < 224:
        return place + 2, ((first - 192) << 8) + content[place + 1] + 192
    if first < 255:
        raise ValueError("a packet in parts, which keys never are")
    return place + 5, int.from_bytes(content[place + 1 : place + 5], "big")


def _old_length(content: bytes, place: int, kind: int) -> tuple[int, int]:
    if kind == 3:
        return place, len(content) - place
    size = 1 << kind
    if place + size > len(content):
        raise ValueError("the file is cut off")
    return place + size, int.from_bytes(content[place : place + size], "big")
