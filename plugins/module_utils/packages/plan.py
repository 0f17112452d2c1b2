# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which packages to install and hold: what is installed and offered → targets. Functions from values to values.

PRIVATE to this collection.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import Finding, failed
from ansible_collections.fullrank.serving.plugins.module_utils.packages import versions as packages_versions
from ansible_collections.fullrank.serving.plugins.module_utils.packages.versions import Candidate

SAME = "same"
"""As the version of an entry: that of the leader, the first entry that names one."""


@dataclass
class Targets:
    """``versions``: every wanted package → the version it shall have. ``first``: those that go before the others.
    ``hold``: those that are held. ``leader``: the upstream version that entries of version ``same`` follow."""

    versions: dict[str, str] = field(default_factory=dict)
    first: list[str] = field(default_factory=list)
    hold: list[str] = field(default_factory=list)
    leader: str = ""
    problems: list[Finding] = field(default_factory=list)


def settle(
    entries: Iterable[dict[str, Any]],
    installed: dict[str, str],
    offered: Callable[[list[str]], list[Candidate]],
    upgrade: bool,
) -> Targets:
    """What each entry comes to. What is installed and as wanted stays, unless it is to be upgraded; only where
    something else is needed the repositories are read (``offered``, once)."""
    listed = list(entries)
    here = [Candidate(name, version, "") for name, version in installed.items()]
    unchanged = settle_by(listed, [] if upgrade else here, [])
    if not unchanged.problems and not upgrade:
        return unchanged
    return settle_by(
        listed, [] if upgrade else here, offered(list(dict.fromkeys(name for one in listed for name in one["names"])))
    )


def settle_by(entries: Iterable[dict[str, Any]], installed: list[Candidate], offered: list[Candidate]) -> Targets:
    """The targets: from what is installed where that will do, otherwise from what is offered."""
    targets = Targets()
    for one in entries:
        if one["version"] == SAME and not targets.leader:
            continue  # the leader's finding covers it
        wanted = targets.leader if one["version"] == SAME else one["version"]
        chosen, problems = choose(installed, one, wanted)
        if chosen is None:
            chosen, problems = choose(offered, one, wanted)
        if chosen is None:
            if not one["optional"]:
                targets.problems += problems
            continue
        targets.versions[chosen.name] = chosen.version
        if one["first"]:
            targets.first.append(chosen.name)
        if one["hold"]:
            targets.hold.append(chosen.name)
        if one["version"] not in ("", SAME) and not targets.leader:
            targets.leader = chosen.upstream
    return targets


def choose(rows: list[Candidate], one: dict[str, Any], wanted: str) -> tuple[Candidate | None, list[Finding]]:
    """The candidate of one entry; for an entry without a version the newest one."""
    if wanted:
        chosen, problems = packages_versions.resolve(rows, one["names"], wanted, one["where"])
    else:
        named = next((name for name in one["names"] if any(row.name == name for row in rows)), "")
        chosen = packages_versions.newest(row for row in rows if row.name == named)
        problems = [] if chosen else packages_versions.resolve([], one["names"], "", one["where"])[1]
    if (
        chosen
        and one["at_least"]
        and packages_versions.debian_key(chosen.upstream) < packages_versions.debian_key(one["at_least"])
    ):
        message = f"{chosen.name} {chosen.upstream} is offered, {one['at_least']} is needed"
        remedy = "add the repository that has it"
        problems = [failed("package-version", one["where"], message, remedy, names=one["names"])]
        chosen = None
    if one["remedy"]:
        problems = [{**problem, "remedy": one["remedy"]} for problem in problems]
    return chosen, problems


def mismatched(outlook: dict[str, str], family: str, leader: str) -> list[str]:
    """Packages of the family that an installation would bring in another version than the leader's."""
    if not family or not leader:
        return []
    return sorted(
        name
        for name, version in outlook.items()
        if re.search(family, name) and Candidate(name, version, "").upstream != leader
    )


def follows(offered: list[Candidate], name: str, leader: str) -> bool:
    """Whether a package of the family has the leader's versions, or such of its own as Debian's nvidia-modprobe has: then
    nothing of the leader's branch is offered under its name."""
    branch = leader.partition(".")[0]
    return any(one.name == name and one.branch == branch for one in offered)


def members(installed: dict[str, str], family: str, leader: str) -> list[str]:
    """Installed packages of the family in the leader's version: dependencies that are held with it."""
    if not family or not leader:
        return []
    return sorted(
        name
        for name, version in installed.items()
        if re.search(family, name) and Candidate(name, version, "").upstream == leader
    )
