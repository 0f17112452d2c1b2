# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The named keys of a deployment's clients, and what of them its router gets to know. Pure; private to this collection."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import Finding, failed
from ansible_collections.fullrank.serving.plugins.module_utils.router.words import ENGINE, NONE, OPEN

VARIABLE = "router_keys"
NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,62}")
SHORTEST = 16
"""Characters of a key: 16 random ones of 64 are 96 bits. A router compares hashes, which a short key does not hide."""

MOST = 1_000_000
_KEY = re.compile(rf"[!-~]{{{SHORTEST},512}}")
_HASH = re.compile(r"[0-9a-f]{64}")
_NUMBER = re.compile(r"[0-9]{1,7}")
_KNOWN = ("concurrency", "key", "rate", "sha256")


def digest(key: str) -> str:
    """By which a router knows a key."""
    return hashlib.sha256(key.encode()).hexdigest()


def limits(named: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Each key's ``name``, ``concurrency`` (requests at a time) and ``rate`` (requests a minute), 0 without; no secret."""
    return [
        {"name": str(name), "concurrency": int(one.get("concurrency") or 0), "rate": int(one.get("rate") or 0)}
        for name, one in sorted(named.items())
    ]


def hashes(named: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Name of each key → its SHA-256 in hexadecimal digits."""
    return {str(name): str(one.get("sha256") or digest(str(one["key"]))) for name, one in sorted(named.items())}


def _shown(name: Any, number: int) -> str:
    """A name in a message. What is as long as a key may be one, in the wrong place."""
    return str(name) if len(str(name)) < SHORTEST else f"name {number}"


def wrong(named: Any, where: str, engine_key: str = "") -> list[Finding]:
    """What is wrong with them; no message quotes a key. engine_key: the engine's own, where it is known."""
    if not isinstance(named, Mapping):
        return [failed("router-keys", where, "it is no dict", "write name: {key: ...} for each team")]
    findings: list[Finding] = []
    seen: dict[str, str] = {}
    for number, (name, one) in enumerate(named.items(), 1):
        own = f"{where}, {_shown(name, number)}"
        if not NAME.fullmatch(str(name)) or name in (ENGINE, OPEN, NONE):
            message = "a key cannot have this name" if name in (ENGINE, OPEN, NONE) else "metrics cannot have this name"
            findings.append(
                failed("router-keys", own, message, "take small letters, digits, _, . and -, at most 63 of them")
            )
        if not isinstance(one, Mapping):
            findings.append(failed("router-keys", own, "it is no dict", "write name: {key: ...}"))
            continue
        findings += _wrong_parts(one, own)
        known = hashes({"": one}).get("") if one.get("key") or one.get("sha256") else None
        if known and seen.setdefault(known, str(name)) != name:
            findings.append(
                failed("router-keys", own, f"{seen[known]} has the same key", "give each team a key of its own")
            )
        if known and engine_key and known == digest(engine_key):
            message = "it has the engine's own key, which has no limits and is counted as engine"
            findings.append(failed("router-keys", own, message, "give each team a key of its own"))
    return findings


def _wrong_parts(one: Mapping[str, Any], where: str) -> list[Finding]:
    findings = [
        failed("router-keys", where, f"nothing reads {_shown(part, number)}", f"write one of {', '.join(_KNOWN)}")
        for number, part in enumerate(map(str, one), 1)
        if part not in _KNOWN
    ]
    if bool(one.get("key")) == bool(one.get("sha256")):
        findings.append(failed("router-keys", where, "it has no key, or two", "write key, or sha256 of it"))
    elif isinstance(one.get("key") or one.get("sha256"), (bool, dict, float, int, list, tuple)):
        findings.append(failed("router-keys", where, "its key is no text", "write it in quotes"))
    elif one.get("key") and not _KEY.fullmatch(str(one["key"])):
        message = f"its key is shorter than {SHORTEST} characters, longer than 512, or has some that no header can have"
        findings.append(failed("router-keys", where, message, "take openssl rand -base64 32"))
    elif one.get("sha256") and not _HASH.fullmatch(str(one["sha256"])):
        message = "its sha256 is not 64 hexadecimal digits in small letters"
        findings.append(failed("router-keys", where, message, "take printf %s KEY | sha256sum"))
    for part in ("concurrency", "rate"):
        number = one.get(part, 0)
        if isinstance(number, bool) or not _NUMBER.fullmatch(str(number)) or int(number) > MOST:
            message = f"{part} is not a number from 0 (no limit) to {MOST}"
            findings.append(failed("router-keys", where, message, "correct it"))
    return findings
