# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's command line of a launch: first-class variables and ``engine_args``, each checked against the flag
catalog.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import Finding, failed
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.catalog import VersionCatalog
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.option import Option, snake
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.engines.call import Call
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.engines.request import Request

OF_THE_GROUP = {
    "rank": "the order of the hosts",
    "nnodes": "the number of hosts",
    "head_address": "the address of the first host",
}
"""Options of `engine_command` that no variable sets → what they follow from."""


@dataclass(frozen=True)
class Settings:
    """Checked options in the order they are written, where each came from, and what is wrong with them."""

    pairs: list[tuple[Option, Any]]
    origins: dict[str, str]
    findings: list[Finding]

    @property
    def values(self) -> dict[str, Any]:
        """Option, by its canonical name in snake case → value."""
        return {option.key: value for option, value in self.pairs}


def engine_options(request: Request, call: Call, options: VersionCatalog) -> Settings:
    """Bring both sources together; an option that a first-class variable owns is refused in ``engine_args``."""
    own = options.check({name: setting.value for name, setting in call.args.items()}, "")
    findings = [_at_variable(one, request, call) for one in own.findings if one["severity"] == "fail"]
    origins = {}
    by_option = {option.name: name for name in call.args if (option := options.lookup(name))}
    for option, _unused in own.options:
        origins[option.name] = request.origin(call.args[by_option[option.name]].origin)

    where = request.variable("engine_args")
    owners = {option.name: owner for name, owner in call.owned.items() if (option := options.lookup(name))}
    theirs = options.check(request.engine_args, where)
    findings += theirs.findings
    pairs = list(own.options)
    for option, value in theirs.options:
        if option.key in call.left_out:
            continue
        if option.name in owners or option.name in origins:
            written = _written(option, request, options)
            findings.append(_owned(option, request, owners.get(option.name, ""), f"{where}.{written}"))
        else:
            origins[option.name] = f"{where}.{option.key}"
            pairs.append((option, value))
    return Settings(pairs, origins, findings)


def _at_variable(one: Finding, request: Request, call: Call) -> Finding:
    """A finding about a generated option, at the variable it was generated from."""
    setting = call.args[snake(one["where"].removeprefix("."))]
    return one | {"where": request.origin(setting.origin)}


def _written(option: Option, request: Request, options: VersionCatalog) -> str:
    """The name under which the user gave an option, which may be an older or a shorter one."""
    for name, value in request.engine_args.items():
        if any(found.name == option.name for found, _unused in options.check({name: value}, "").options):
            return str(name)
    return option.key


def _owned(option: Option, request: Request, owner: str, where: str) -> Finding:
    if owner in OF_THE_GROUP:
        message = f"{option.name} is written for each rank ({owner}: {OF_THE_GROUP[owner]})"
        return failed("option-owned", where, message, "leave it out here")
    variable = request.variable(owner) if owner else "the variables of this launch"
    message = f"{option.name} is written from {variable}"
    return failed("option-owned", where, message, f"set {variable} and leave it out here")
