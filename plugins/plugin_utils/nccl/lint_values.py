# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with one value, by the table of variables alone."""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Iterator

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import FAIL, INFO, WARN, Finding, finding
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.variables import (
    PLUGIN_PREFIXES,
    VARIABLES,
    Variable,
)
from ansible_collections.fullrank.serving.plugins.plugin_utils.nccl.version import Version, version_text

_NUMBER = re.compile(r"-?(0[xX][0-9a-fA-F]+|[0-9]+)")
_CTA_LIMIT_RAISED: Version = (2, 25)
ALGORITHMS = ("ring", "tree", "collnet", "collnetchain", "collnetdirect", "nvls", "nvlstree", "pat")
PROTOCOLS = ("ll", "ll128", "simple")


def value_findings(name: str, value: str, version: Version | None, where: str) -> Iterator[Finding]:
    """Findings on ``name=value`` for NCCL ``version`` (None: unknown). Names that are not NCCL's pass."""
    if not name.startswith("NCCL_") or name.startswith(PLUGIN_PREFIXES):
        return
    variable = VARIABLES.get(name)
    if variable is None:
        yield from _unknown(name, where)
        return
    yield from _age(variable, version, where)
    yield from _invalid(variable, value, version, where)
    if variable.debug:
        yield finding(
            WARN,
            "debug-only",
            where,
            f"{name} is documented for experiments and debugging only: it keeps NCCL from choosing",
            "remove it, or write beside it which bug it works around",
        )


def to_int(value: str) -> int | None:
    """As C's strtoll with base 0 reads it: 0x… is hexadecimal, a leading 0 octal."""
    if not _NUMBER.fullmatch(value):
        return None
    digits = value.removeprefix("-")
    octal = len(digits) > 1 and digits.isdigit() and digits[0] == "0"
    try:
        return int(value, 8 if octal else 0)
    except ValueError:
        return None


def _unknown(name: str, where: str) -> Iterator[Finding]:
    near = difflib.get_close_matches(name, VARIABLES, n=2, cutoff=0.85)
    yield finding(
        WARN if near else INFO,
        "unknown-variable",
        where,
        f"NCCL documents no variable {name}",
        f"write {' or '.join(near)}" if near else "check the spelling; NCCL ignores what it does not know",
    )


def _age(variable: Variable, version: Version | None, where: str) -> Iterator[Finding]:
    if variable.removed:
        yield finding(
            WARN,
            "removed-variable",
            where,
            f"{variable.name} does nothing since NCCL {version_text(variable.removed)}",
            f"use {variable.successor}" if variable.successor else "remove it",
        )
    elif variable.successor:
        yield finding(INFO, "renamed-variable", where, f"{variable.name} is deprecated", f"use {variable.successor}")
    if version and version < variable.since:
        yield finding(
            INFO,
            "newer-variable",
            where,
            f"NCCL {version_text(version)} does not know {variable.name} yet (since {version_text(variable.since)})",
            "remove it, or use an image with that NCCL",
        )


def _invalid(variable: Variable, value: str, version: Version | None, where: str) -> Iterator[Finding]:
    if variable.is_integer:
        yield from _integer(variable, value, version, where)
    elif variable.grammar == "level":
        yield from _level(variable, value, where)
    elif variable.grammar == "path":
        if "~" in value or not value:
            yield _bad(variable, value, where, "an absolute path; NCCL does not expand ~")
    elif variable.grammar in ("algorithms", "protocols"):
        yield from _selection(variable, value, where)
    elif variable.choices:
        known = (*variable.choices, *(c.lower() for c in variable.choices)) if variable.fold else variable.choices
        if value not in known:
            yield _bad(variable, value, where, f"one of {', '.join(variable.choices)}")
    elif variable.pattern and not re.fullmatch(variable.pattern, value, re.IGNORECASE if variable.fold else 0):
        yield _bad(variable, value, where, "a value as NCCL's user guide lists them")
    if variable.name == "NCCL_IB_ADDR_RANGE":
        yield from _network(variable, value, where)


def _network(variable: Variable, value: str, where: str) -> Iterator[Finding]:
    try:
        ipaddress.ip_network(value if "/" in value else "", strict=False)
    except ValueError:
        yield _bad(variable, value, where, "a network in CIDR form, for example 10.0.0.0/8")


def _bad(variable: Variable, value: str, where: str, valid: str) -> Finding:
    return finding(FAIL, "invalid-value", where, f"{variable.name}={value} is not valid", f"write {valid}")


def _integer(variable: Variable, value: str, version: Version | None, where: str) -> Iterator[Finding]:
    number = to_int(value)
    low, high = variable.low, variable.high
    if variable.name in ("NCCL_MIN_CTAS", "NCCL_MAX_CTAS") and version and version < _CTA_LIMIT_RAISED:
        high = 32
    valid = f"a whole number, {low} to {high}" if high is not None else f"a whole number, {low} or more"
    if number is None or (low is not None and number < low) or (high is not None and number > high):
        # NVIDIA's own words for this one: 0 or >= 32 is an infinite timeout
        endless = variable.name == "NCCL_IB_TIMEOUT" and number is not None and number > 31
        shown = _bad(variable, value, where, valid)
        yield {**shown, "message": f"{variable.name}={value} means an infinite timeout"} if endless else shown
    elif variable.name == "NCCL_IB_TIMEOUT" and number == 0:
        yield finding(
            WARN, "infinite-timeout", where, "NCCL_IB_TIMEOUT=0 waits for ever when a link dies", "write 20 to 22"
        )


def _level(variable: Variable, value: str, where: str) -> Iterator[Finding]:
    if value in variable.choices:
        return
    number = to_int(value)
    if number is None or number < 0:
        yield _bad(variable, value, where, f"one of {', '.join(variable.choices)}")
        return
    meant = ("LOC", "PIX", "PXB", "PHB", "SYS")[min(number, 4)]
    yield finding(
        WARN,
        "legacy-integer",
        where,
        f"{variable.name}={value} is the old numbering, today read as {meant}",
        f"write {meant}, if that is what is meant ({', '.join(variable.choices)})",
    )


def _selection(variable: Variable, value: str, where: str) -> Iterator[Finding]:
    """NCCL_ALGO and NCCL_PROTO: ``[function:][^]name,…`` joined by semicolons (since 2.24), names in any case."""
    known = ALGORITHMS if variable.grammar == "algorithms" else PROTOCOLS
    for group in value.split(";"):
        names = group.rpartition(":")[2].removeprefix("^").split(",")
        for name in names:
            if name.lower() not in known:
                yield _bad(variable, value, where, f"names out of {', '.join(known)}, not {name or 'nothing'!r}")
                return
