# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a pasted text to deployments: commands of several nodes that belong together become one, and each has a page of YAML."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import yaml
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.catalog import Catalog
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch import rehearsal
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.translate import commands
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.translate.commands import EngineCommand
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.translate.variables import Translation, translate

Catalogs = Callable[[str], Catalog]


def deployments(text: str, catalogs: Catalogs, version: str = "", nodes: int = 0) -> list[dict[str, Any]]:
    """The deployments that a text starts. version: of the engine, where the text has none. nodes: where it is known better.

    Each has ``variables``, ``nodes``, ``owned``, ``dropped``, ``unknown``, ``open``, ``findings`` and ``page``.
    Raises ValueError where no engine is started, or where a quote is not closed.
    """
    found = commands.find(text)
    if not found:
        raise ValueError(
            "no command of an engine was found: vllm serve, sglang.launch_server, lmdeploy serve api_server …"
        )
    translated = [_one(command, catalogs, version) for command in found]
    result = []
    for group in _groups(translated):
        head, *others = group
        head.nodes = nodes or max([len(group), *(one.nodes for one in group)])
        if commands.starts_ray(text) and head.engine != "sglang" and "engine_executor" not in head.variables:
            head.open.append(
                "engine_executor: ray, if the engine was meant to run over the Ray cluster that the text starts"
            )
        for number, other in enumerate(others, 1):
            head.open += [f"{what}: the command of node {number} has {value}" for what, value in _differs(head, other)]
        result.append(_report(head, catalogs))
    return result


def _one(command: EngineCommand, catalogs: Catalogs, version: str) -> Translation:
    catalog = catalogs(command.engine)
    known = version or command.version
    found = translate(command, catalog.at(known or catalog.versions[-1]))
    if not known:
        found.open.append(f"engine_version: the text names none; {catalog.versions[-1]} is the newest that is known")
    return found


def _groups(translated: Sequence[Translation]) -> list[list[Translation]]:
    """Commands of one deployment, its head first: those of further ranks follow the one that they belong to."""
    groups: list[list[Translation]] = []
    for one in translated:
        belongs = next((group for group in groups if _same(group[0], one)), None)
        if belongs is None:
            groups.append([one])
        else:
            belongs.append(one)
    return [sorted(group, key=lambda one: one.rank) for group in groups]


def _same(head: Translation, other: Translation) -> bool:
    if head.nodes == other.nodes == 1 or (head.rank == other.rank):
        return False
    names = ("engine_name", "engine_model", "model_repo")
    modes = [one.variables.get("engine_args", {}).get("disaggregation_mode") for one in (head, other)]
    return modes[0] == modes[1] and all(head.variables.get(name) == other.variables.get(name) for name in names)


def _differs(head: Translation, other: Translation) -> list[tuple[str, str]]:
    ignored = ("engine_rendezvous_port", "engine_port", "engine_host")
    mine, theirs = head.variables, other.variables
    found = [
        (name, str(theirs[name]))
        for name in theirs
        if name not in (*ignored, "engine_args") and theirs[name] != mine.get(name)
    ]
    arguments, others = mine.get("engine_args", {}), theirs.get("engine_args", {})
    return found + [
        (f"engine_args.{name}", str(value)) for name, value in others.items() if value != arguments.get(name)
    ]


def _report(one: Translation, catalogs: Catalogs) -> dict[str, Any]:
    refused = rehearsal.refused("pasted", one.nodes, one.variables, catalogs(one.engine))
    findings = [
        {
            "where": ".".join((each.variable, *each.steps)),
            **{key: each.finding[key] for key in ("code", "message", "remedy")},
        }
        for each in refused
    ]
    report = {
        "variables": one.variables,
        "nodes": one.nodes,
        "owned": [{"word": word, "by": by} for word, by in one.owned],
        "dropped": [{"word": word, "why": why} for word, why in one.dropped],
        "unknown": one.unknown,
        "open": one.open,
        "findings": findings,
    }
    return report | {"page": page(report)}


def page(report: dict[str, Any]) -> str:
    """A file of group_vars, with what became of the other words as comments."""
    parts = [f"# For {report['nodes']} node(s): that many hosts in the group of the deployment."]
    parts += _comments("To fill in", report["open"])
    parts.append(yaml.safe_dump(report["variables"], sort_keys=False, allow_unicode=True, width=1000).rstrip("\n"))
    parts += _comments("Follows from something else", [f"{one['word']}: {one['by']}" for one in report["owned"]])
    parts += _comments("Left out", [f"{one['word']}: {one['why']}" for one in report["dropped"]])
    parts += _comments("Not known to this version", report["unknown"])
    wrong = [
        f"{one['where']}: {one['message']}" + (f"; {one['remedy']}" if one["remedy"] else "")
        for one in report["findings"]
    ]
    parts += _comments("What the check of the inventory would report", wrong)
    return "\n".join(parts) + "\n"


def _comments(title: str, lines: Sequence[str]) -> list[str]:
    return ["#", f"# {title}:", *(f"#   {line}" for line in lines)] if lines else []
