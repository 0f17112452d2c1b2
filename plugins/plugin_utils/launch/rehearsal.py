# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The launches of a deployment as its variables give them, before any node is asked: what an engine would refuse. Pure; private.

Addresses and interfaces come from nodes. Those of documentation (RFC 5737) stand for them, and no finding is about them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import FAIL, Finding, unique
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.catalog import Catalog
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.engines.request import OPTIONS
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.render import render
from ansible_collections.fullrank.serving.plugins.plugin_utils.values.check import nearest

PREFIX = "engine_"
OF_THE_NODE = (
    "deployment",
    "expected_task",
    "rank",
    "nnodes",
    "rank_address",
    "interface",
    "head_address",
    "rank_addresses",
    "secret_file",
    "behind_router",
    "starlette",
    "rdma",
)
"""Options that the chain computes."""
A_KEY = "to-be-made-when-it-starts"
_READERS: dict[str, Callable[[Any], Any]] = {
    "int": int,
    "bool": bool,
    "list": list,
    "dict": dict,
    "raw": lambda value: value,
}


ELSEWHERE = ("deployment-name",)
"""Findings that the shape of the inventory has already."""


class Refused(NamedTuple):
    """A finding about a variable; steps lead into its value."""

    variable: str
    steps: tuple[str, ...]
    finding: Finding


def variable(option: str) -> str:
    """The variable of the inventory for an option of `engine_command` (roles/engine/tasks/precheck.yml)."""
    return PREFIX + ("name" if option == "engine" else option.removeprefix("engine_"))


VARIABLES = tuple(variable(option) for option in OPTIONS if option not in (*OF_THE_NODE, "variable_prefix"))
"""Those that a launch is rendered from."""


def refused(
    deployment: str, nnodes: int, values: Mapping[str, Any], catalog: Catalog, behind_router: bool | None = None
) -> list[Refused]:
    """What is wrong with the launch of the head and with that of another rank.

    values: variable → value, each of its type; where one of `VARIABLES` is missing, the default of `engine_command` counts.
    catalog: of the engine that the values name. behind_router: None where it is not known.
    """
    found: list[Finding] = []
    for rank in range(min(nnodes, 2)):
        options = _options(deployment, nnodes, rank, values) | {"behind_router": behind_router}
        launch = render(options, catalog)
        found += [one for one in launch["findings"] if one["severity"] == FAIL or _about_version(one)]
    if hopeless := [one for one in found if one["severity"] == FAIL and _about_version(one)]:
        found = hopeless  # what another version would refuse is no news
    return [Refused(*_place(one["where"]), one) for one in unique(found) if one["code"] not in ELSEWHERE]


def has_name(name: str, version: str, catalog: Catalog) -> bool:
    """Whether a variable's name could be that of an option of the engine: all others `belongs` answers with nothing."""
    return name.startswith(PREFIX) or ("_" in name and catalog.at(version).lookup(name) is not None)


def belongs(name: str, value: Any, deployment: str, values: Mapping[str, Any], catalog: Catalog) -> str:
    """Where a variable belongs that no role reads and that has the name of an option of the engine: what to write instead.

    ``engine_`` may stand before the option's name; then an option that is almost that is named, too. Empty where the engine has
    no such option, or would refuse this value; a name of one word (``seed``) tells nothing and counts only with ``engine_``.
    values: as `refused` takes them.
    """
    requested = str(values.get("engine_version", ""))
    if not has_name(name, requested, catalog):
        return ""
    option = name.removeprefix(PREFIX)
    version = catalog.at(requested)
    if not version.lookup(option):
        near = nearest(option, [one.key for one in version.options if PREFIX + one.key not in VARIABLES])
        return f"did you mean {near}, in engine_args?" if near else ""
    if PREFIX + option in VARIABLES and PREFIX + option != name:
        return f"write {PREFIX}{option}"
    args = {**(values.get("engine_args") or {}), option: value}
    new = [
        one.finding
        for one in refused(deployment, 1, {**values, "engine_args": args}, catalog)
        if (one.variable, one.steps) == ("engine_args", (option,))
    ]
    owner = next(
        (one["remedy"].partition(" ")[2].partition(" ")[0] for one in new if one["code"] == "option-owned"), ""
    )
    if owner in VARIABLES:
        return f"write {owner}"
    return "" if new else f"the engine has such an option: write it into engine_args, as {option}"


def _about_version(one: Finding) -> bool:
    return str(one["code"]).startswith("engine-version-")


def _place(where: str) -> tuple[str, tuple[str, ...]]:
    name, _dot, key = where.partition(".")
    return name, (key,) if key else ()


def _options(deployment: str, nnodes: int, rank: int, values: Mapping[str, Any]) -> dict[str, Any]:
    addresses = [f"192.0.2.{1 + number % 250}" for number in range(nnodes)]
    options: dict[str, Any] = {
        option: spec["default"] for option, spec in OPTIONS.items() if spec.get("default") is not None
    }
    for option, spec in OPTIONS.items():
        if variable(option) in values and option not in OF_THE_NODE:
            value = values[variable(option)]
            options[option] = _READERS.get(spec["type"], str)(value)
    key = values.get("engine_api_key") or (A_KEY if values.get("engine_api_key_required", True) else "")
    return options | {
        "deployment": deployment,
        "rank": rank,
        "nnodes": nnodes,
        "rank_address": addresses[rank],
        "head_address": addresses[0],
        "rank_addresses": addresses,
        "interface": "eth0",
        "api_key": key,
    }
