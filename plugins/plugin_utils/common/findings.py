# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one shape in which this project says that something is wrong, and how a list of them reads."""

from __future__ import annotations

from collections.abc import Iterable

Finding = dict[str, str]
"""severity (``fail``, ``warn``, ``info``), code (kebab-case id), where (variable or fact path), message, remedy."""


FAIL, WARN, INFO = "fail", "warn", "info"


def finding(severity: str, code: str, where: str, message: str, remedy: str = "") -> Finding:
    """One finding: what is wrong, where it was set, what to write instead."""
    return {"severity": severity, "code": code, "where": where, "message": message, "remedy": remedy}


def fail(code: str, where: str, message: str, remedy: str = "") -> Finding:
    """A finding that stops the run."""
    return finding(FAIL, code, where, message, remedy)


def warn(code: str, where: str, message: str, remedy: str = "") -> Finding:
    """A finding that people must see and that stops nothing."""
    return finding(WARN, code, where, message, remedy)


def unique(findings: Iterable[Finding]) -> list[Finding]:
    """The findings in their order, each once: a mistake in one variable is not news on every rank."""
    return list({tuple(sorted(one.items())): one for one in findings}.values())


def line(one: Finding) -> str:
    """One finding as one line: ``where: message; remedy``."""
    return f"{one['where']}: {one['message']}" + (f"; {one['remedy']}" if one["remedy"] else "")


def lines(findings: Iterable[Finding], severity: str) -> list[str]:
    """The findings of one severity, a line each, without repetitions, in their order."""
    return list(dict.fromkeys(line(one) for one in findings if one["severity"] == severity))


def failures(findings: Iterable[Finding], what: str) -> str:
    """All failures as one message, a line each under a heading that says of ``what``; empty when there is none."""
    found = lines(findings, "fail")
    return "\n".join([f"{what}: {len(found)} finding{'s' if len(found) > 1 else ''}", *found]) if found else ""
