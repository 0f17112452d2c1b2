# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shape of one answer of the preflight, and how it is written down.

PRIVATE to this collection.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

PASS, WARN, FAIL, SKIPPED = "pass", "warn", "fail", "skipped"
STATUSES = (FAIL, WARN, SKIPPED, PASS)

Check = dict[str, Any]
"""id (kebab-case), status, where (what was looked at), message, remedy ("" where there is nothing to do), data."""


def check(id: str, status: str, where: str, message: str, remedy: str = "", **data: Any) -> Check:
    return {"id": id, "status": status, "where": where, "message": message, "remedy": remedy, "data": data}


def passed(id: str, where: str, message: str, **data: Any) -> Check:
    return check(id, PASS, where, message, **data)


def warned(id: str, where: str, message: str, remedy: str, **data: Any) -> Check:
    return check(id, WARN, where, message, remedy, **data)


def failed(id: str, where: str, message: str, remedy: str, **data: Any) -> Check:
    return check(id, FAIL, where, message, remedy, **data)


def skipped(id: str, where: str, message: str, remedy: str = "", **data: Any) -> Check:
    return check(id, SKIPPED, where, message, remedy, **data)


def report(problems: Sequence[Check]) -> str:
    """Failed checks as one message, a line each: what, where it was set, what to write instead."""
    head = f"{len(problems)} finding{'s' if len(problems) > 1 else ''}, nothing was changed"
    return "\n".join([head, *(f"{one['where']}: {one['message']}; {one['remedy']}" for one in problems)])
