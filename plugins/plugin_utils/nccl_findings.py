"""The one shape of a finding, and the words the NCCL utils share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Finding = dict[str, str]

FAIL, WARN, INFO = "fail", "warn", "info"


def finding(severity: str, code: str, where: str, message: str, remedy: str) -> Finding:
    """What is wrong, where it was set, what to write instead."""
    return {"severity": severity, "code": code, "where": where, "message": message, "remedy": remedy}


def unique(findings: Iterable[Finding]) -> list[Finding]:
    """The findings in their order, each once: a mistake in one variable is not news on every rank."""
    seen: dict[tuple[str, ...], Finding] = {}
    for item in findings:
        seen.setdefault(tuple(item.values()), item)
    return list(seen.values())


def as_env_value(value: Any) -> str | None:
    """A YAML scalar as the environment would carry it, or None where it cannot (a list, a mapping, nothing).

    A boolean is refused too: YAML's ``yes`` would reach NCCL as ``True``, which it reads as the number 0.
    """
    if isinstance(value, bool) or value is None or not isinstance(value, str | int | float):
        return None
    return str(value)
