# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with one value, by the table of variables alone."""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Iterator

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import FAIL, INFO, WARN, Finding, finding
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl import known
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.variables import (
    LEVELS_SINCE,
    PLUGIN_PREFIXES,
    VARIABLES,
    Variable,
)
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.version import Version, version_text

_NUMBER = re.compile(r"-?(0[xX][0-9a-fA-F]+|[0-9]+)")
FIRST_RELEASE = "2.18"
"""The oldest release in the table of `known`."""
_CTA_LIMIT_RAISED: Version = (2, 25)
ALGORITHMS = ("ring", "tree", "collnet", "collnetchain", "collnetdirect", "nvls", "nvlstree", "pat")
PROTOCOLS = ("ll", "ll128", "simple")


def value_findings(name: str, value: str, version: Version | None, where: str) -> Iterator[Finding]:
    """Findings on ``name=value`` for NCCL ``version`` (None: unknown). Names that are not NCCL's pass.

    A remedy that names a value, or the removal, has it in the finding's data: ``env``, variable to value or None.
    """
    if not name.startswith("NCCL_") or name.startswith(PLUGIN_PREFIXES):
        return
    variable = VARIABLES.get(name)
    if variable is None and not known.is_read(name, None):
        yield from _unknown(name, version, where)
        return
    yield from _age(name, variable, version, where)
    if variable is None:
        return  # read, but not documented: nothing is known of its values
    yield from _invalid(variable, value, version, where)
    if variable.debug:
        yield finding(
            WARN,
            "debug-only",
            where,
            f"{name} is documented for experiments and debugging only: it keeps NCCL from choosing",
            "remove it, or write beside it which bug it works around",
            env={name: None},
        )


def to_int(value: str) -> int | None:
    """As C's strtoll with base 0 reads it: 0x… is hexadecimal, a leading 0 octal, blanks before and + are skipped."""
    text = value.strip(" \t\n\r").removeprefix("+")
    if not _NUMBER.fullmatch(text):
        return None
    digits = text.removeprefix("-")
    octal = len(digits) > 1 and digits.isdigit() and digits[0] == "0"
    try:
        return int(text, 8 if octal else 0)
    except ValueError:
        return None


def _unknown(name: str, version: Version | None, where: str) -> Iterator[Finding]:
    current = [
        v.name for v in VARIABLES.values() if not v.removed and not v.successor and known.is_read(v.name, version)
    ]
    near = difflib.get_close_matches(name, current, n=2, cutoff=0.85)
    yield finding(
        WARN if near else INFO,
        "unknown-variable",
        where,
        f"no NCCL from {FIRST_RELEASE} on reads {name}: it does nothing",
        f"remove it; a variable of a similar name is {' and '.join(near)}"
        if near
        else "remove it, or check the spelling",
        env={name: None},
    )


def _age(name: str, variable: Variable | None, version: Version | None, where: str) -> Iterator[Finding]:
    if variable and variable.removed:
        yield finding(
            WARN,
            "removed-variable",
            where,
            f"{name} does nothing since NCCL {version_text(variable.removed)}",
            f"use {variable.successor}" if variable.successor else "remove it",
            env={name: None},
        )
        return
    if variable and variable.successor:
        yield finding(INFO, "renamed-variable", where, f"{name} is deprecated", f"use {variable.successor}")
    last = known.read_until(name)
    if last and (version is None or version > last):
        yield finding(
            WARN if version else INFO,
            "removed-variable",
            where,
            f"the last NCCL that reads {name} is {version_text(last)}",
            "remove it",
            env={name: None},
        )
        return
    since = known.read_from(name) or (variable.since if variable else ())
    if version and since and version < since[: max(len(version), 2)]:
        yield finding(
            INFO,
            "newer-variable",
            where,
            f"NCCL {version_text(version)} does not read {name} (since {version_text(since)})",
            "remove it, or use an image with that NCCL",
            env={name: None},
        )


def _invalid(variable: Variable, value: str, version: Version | None, where: str) -> Iterator[Finding]:
    if variable.is_integer:
        yield from _integer(variable, value, version, where)
    elif variable.grammar == "level":
        yield from _level(variable, value, version, where)
    elif variable.grammar == "path":
        if "~" in value or not value:
            yield _bad(variable, value, where, "an absolute path; NCCL does not expand ~")
    elif variable.grammar in ("algorithms", "protocols"):
        yield from _selection(variable, value, where)
    elif variable.choices:
        if (value.upper() if variable.fold else value) not in variable.choices:
            yield _bad(variable, value, where, f"one of {', '.join(variable.choices)}", _meant(variable, value))
    elif variable.pattern and not re.fullmatch(variable.pattern, value, re.IGNORECASE if variable.fold else 0):
        yield _bad(variable, value, where, "a value as NCCL's user guide lists them")
    if variable.name == "NCCL_IB_ADDR_RANGE":
        yield from _network(variable, value, where)


def _meant(variable: Variable, value: str) -> str | None:
    """The choice that differs in case or blanks only; None where there is none."""
    return next((c for c in variable.choices if c == value.strip().upper()), None)


def _network(variable: Variable, value: str, where: str) -> Iterator[Finding]:
    try:
        ipaddress.ip_network(value if "/" in value else "", strict=False)
    except ValueError:
        yield _bad(variable, value, where, "a network in CIDR form, for example 10.0.0.0/8")


def _bad(variable: Variable, value: str, where: str, valid: str, meant: str | None = None) -> Finding:
    remedy = f"write {meant}" if meant else f"write {valid}, or remove it"
    message = f"{variable.name}={value} is not valid"
    return finding(FAIL, "invalid-value", where, message, remedy, env={variable.name: meant})


def _integer(variable: Variable, value: str, version: Version | None, where: str) -> Iterator[Finding]:
    number = to_int(value)
    low, high = variable.low, variable.high
    if variable.name in ("NCCL_MIN_CTAS", "NCCL_MAX_CTAS") and version and version < _CTA_LIMIT_RAISED:
        high = 32
    valid = f"a whole number, {low} to {high}" if high is not None else f"a whole number, {low} or more"
    if number is not None and number == variable.unset:
        return
    if number is None or (low is not None and number < low) or (high is not None and number > high):
        # NVIDIA's own words for this one: 0 or >= 32 is an infinite timeout
        endless = variable.name == "NCCL_IB_TIMEOUT" and number is not None and number > 31
        shown = _bad(variable, value, where, valid)
        yield {**shown, "message": f"{variable.name}={value} means an infinite timeout"} if endless else shown
    elif variable.name == "NCCL_IB_TIMEOUT" and number == 0:
        yield finding(
            WARN,
            "infinite-timeout",
            where,
            "NCCL_IB_TIMEOUT=0 waits for ever when a link dies",
            "write 20 to 22",
            env={variable.name: "22"},
        )


def _level(variable: Variable, value: str, version: Version | None, where: str) -> Iterator[Finding]:
    if value in variable.choices:
        since = LEVELS_SINCE.get(value, ())
        if version and version < since:
            message = f"NCCL {version_text(version)} does not know {value} (since {version_text(since)}) and ignores it"
            yield finding(WARN, "newer-value", where, message, "remove it", env={variable.name: None})
        return
    number = to_int(value)
    if number is None or number < 0:
        yield _bad(variable, value, where, f"one of {', '.join(variable.choices)}", _meant(variable, value))
        return
    meant = ("LOC", "PIX", "PXB", "PHB", "SYS")[min(number, 4)]
    yield finding(
        WARN,
        "legacy-integer",
        where,
        f"{variable.name}={value} is the old numbering, today read as {meant}",
        f"write {meant}, if that is what is meant ({', '.join(variable.choices)})",
        env={variable.name: meant},
    )


def _selection(variable: Variable, value: str, where: str) -> Iterator[Finding]:
    """NCCL_ALGO and NCCL_PROTO: ``[function:][^]name,…`` joined by semicolons (since 2.24), names in any case."""
    words = ALGORITHMS if variable.grammar == "algorithms" else PROTOCOLS
    for group in value.split(";"):
        names = [n for n in group.rpartition(":")[2].removeprefix("^").split(",") if n]
        for name in names or [""]:
            if name.lower() not in words:
                yield _bad(variable, value, where, f"names out of {', '.join(words)}, not {name or 'nothing'!r}")
                return
