# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one shape in which this project reports what it checked, and how a list of findings reads. Private to this collection.

Checks of nodes (preflight, endpoint checks, RDMA audit) report what passes and what they skip as well; rules over an inventory
report what is wrong only.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

PASS, INFO, WARN, FAIL, SKIPPED = "pass", "info", "warn", "fail", "skipped"
SEVERITIES = (FAIL, WARN, SKIPPED, INFO, PASS)
"""Worst first. FAIL stops the run; WARN must be seen and stops nothing; SKIPPED could not be checked."""

Finding = dict[str, Any]
"""severity, code (kebab-case), where (variable, fact or object), message, remedy ("" where there is nothing to do), data (what
was measured, {} for nothing)."""


def finding(severity: str, code: str, where: str, message: str, remedy: str = "", **data: Any) -> Finding:
    """One finding: what is wrong, where it was set or seen, what to do instead."""
    return {"severity": severity, "code": code, "where": where, "message": message, "remedy": remedy, "data": data}


def passed(code: str, where: str, message: str, **data: Any) -> Finding:
    return finding(PASS, code, where, message, **data)


def warned(code: str, where: str, message: str, remedy: str = "", **data: Any) -> Finding:
    return finding(WARN, code, where, message, remedy, **data)


def failed(code: str, where: str, message: str, remedy: str = "", **data: Any) -> Finding:
    return finding(FAIL, code, where, message, remedy, **data)


def skipped(code: str, where: str, message: str, remedy: str = "", **data: Any) -> Finding:
    return finding(SKIPPED, code, where, message, remedy, **data)


def _identity(one: Finding) -> tuple[str, ...]:
    return (one["severity"], one["code"], one["where"], one["message"], one["remedy"])


def unique(findings: Iterable[Finding]) -> list[Finding]:
    """The findings in their order, each once: a mistake in one variable is not news on every rank."""
    return list({_identity(one): one for one in findings}.values())


def by_hosts(rows: Iterable[tuple[str, Finding]]) -> list[Finding]:
    """Failures, then warnings, alike ones of several hosts as one with ``hosts``. rows: (host, finding); data stays with them."""
    merged: dict[tuple[str, ...], Finding] = {}
    for host, one in rows:
        if one["severity"] in (FAIL, WARN):
            key = _identity(one)
            merged.setdefault(key, {**finding(*key), "hosts": []})["hosts"].append(host)
    return sorted(merged.values(), key=lambda one: SEVERITIES.index(one["severity"]))


def line(one: Finding) -> str:
    """One finding as one line: ``where: message; remedy``."""
    return f"{one['where']}: {one['message']}" + (f"; {one['remedy']}" if one["remedy"] else "")


def lines(findings: Iterable[Finding], severity: str) -> list[str]:
    """The findings of one severity, a line each, without repetitions, in their order."""
    return list(dict.fromkeys(line(one) for one in findings if one["severity"] == severity))


def failures(findings: Iterable[Finding], heading: str = "nothing was changed") -> str:
    """All failures as one message, a line each below ``heading`` and their number; empty when there is none.

    >>> failures([failed("mtu", "n1", "is 1500", "set 9000"), passed("gpu", "n1", "8 GPUs")])
    'nothing was changed: 1 finding\\nn1: is 1500; set 9000'
    """
    found = lines(findings, FAIL)
    return "\n".join([f"{heading}: {len(found)} finding{'s' if len(found) > 1 else ''}", *found]) if found else ""
