# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The variables of one host against what the roles declare: findings, and the values for later checks. Pure; private."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import Finding, failed
from ansible_collections.fullrank.serving.plugins.plugin_utils.values import check as values_check
from ansible_collections.fullrank.serving.plugins.plugin_utils.values import formats, ranges, secret_values
from ansible_collections.fullrank.serving.plugins.plugin_utils.values.addresses import Names

Spec = Mapping[str, Mapping[str, Any]]
"""Option → its entry in the argument specification."""
Place = Callable[[str, Sequence[str | int]], str]
"""(variable, steps into its value) → where it was set, ``group_vars/tiny.yml:3``; empty where that is not known."""


@dataclass(frozen=True)
class Host:
    """A host's variables, as far as they can be known without it.

    unread: variable → why its expression has no value. unknown: variables that only the node can tell.
    """

    name: str
    values: Mapping[str, Any]
    unread: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    unknown: frozenset[str] = frozenset()
    place: Place = lambda _variable, _steps: ""


@dataclass(frozen=True)
class Checked:
    """values: those without a mistake, with the defaults of what is not set. wrong: the variables with one."""

    values: dict[str, Any]
    wrong: frozenset[str]
    findings: list[Finding]


def check(host: Host, group: str, spec: Spec, rules: values_check.Rules, names: Names) -> Checked:
    """group: for messages, whose variables these are. names: see `addresses.Names`."""
    findings: list[Finding] = []
    wrong: set[str] = set()
    values: dict[str, Any] = {}
    for name, option in spec.items():
        if name in host.unread:
            message, remedy = host.unread[name]
            if secret_values.secret_name(name) or secret_values.looks_secret(message):
                message = "its expression has no value"
            mistake = values_check.Mistake("variable-not-readable", (), message, remedy)
            findings.append(_failed(host, group, name, mistake))
            wrong.add(name)
        elif name in host.unknown:
            continue
        elif name in host.values:
            secret = bool(option.get("no_log")) or secret_values.secret_name(name)
            expected = values_check.Expected(option, rules.get(name), names, secret)
            mistakes = list(values_check.check(host.values[name], expected))
            if option.get("required") and host.values[name] == "" and not mistakes:
                mistakes = [values_check.Mistake("value-empty", (), "is empty", _write(name, option, rules.get(name)))]
            findings += [_failed(host, group, name, one) for one in mistakes]
            if mistakes:
                wrong.add(name)
            else:
                values[name] = host.values[name]
        elif option.get("required"):
            remedy = _write(name, option, rules.get(name))
            mistake = values_check.Mistake("variable-missing", (), "is not set", remedy)
            findings.append(_failed(host, group, name, mistake))
            wrong.add(name)
        elif option.get("default") is not None:
            values[name] = option["default"]
    return Checked(values, frozenset(wrong), findings)


def where(host: Host, group: str, name: str, steps: Sequence[str | int] = ()) -> str:
    """A variable with the place where it was set, or whose it is."""
    place = host.place(name, steps)
    return (
        f"{values_check.name_of(name, steps)} ({place})" if place else f"{values_check.name_of(name, steps)} of {group}"
    )


def _failed(host: Host, group: str, name: str, one: values_check.Mistake) -> Finding:
    data = {"variable": name, "steps": list(one.steps), "host": host.name, "instead": one.instead}
    return failed(one.code, where(host, group, name, one.steps), one.message, one.remedy, **data)


def _write(name: str, option: Mapping[str, Any], rule: Any) -> str:
    if choices := option.get("choices"):
        return f"write {name}: {values_check.either([str(one) for one in choices])}"
    if isinstance(rule, str) and not ranges.is_range(rule):
        return f"write {name}: {formats.rule(rule).format.example}, for example"
    return f"write {name}"
