# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deployments and ranks as the inventory states them. Pure; private to this collection."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import Finding, failed
from ansible_collections.fullrank.serving.plugins.module_utils.systemd.names import LONGEST, refused
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.replicas import groups
from ansible_collections.fullrank.serving.plugins.plugin_utils.values import addresses, spelling

PARENT = "deployments"
"""The group whose child groups are the deployments."""
MACHINES = "gpu_nodes"
"""The group of every machine once; the roles of the nodes read the variables of its hosts."""
AROUND = ("router", "webui", "monitoring")
"""Groups of what stands around deployments, each served by the role of its name."""
TAKEN = frozenset({PARENT, MACHINES, *AROUND, "all", "ungrouped", "localhost"})
"""Names that mean something else to our playbooks or to Ansible."""

Where = Callable[[str, str, str], str]
"""(host, variable, group) → how a message names the variable."""


def named(_host: str, variable: str, group: str) -> str:
    """A variable whose place is not known."""
    return f"{variable} of {group}"


@dataclass(frozen=True)
class Deployment:
    """One served model: an inventory group and its hosts, in the order of ranks and replicas."""

    name: str
    hosts: tuple[str, ...]
    below: tuple[str, ...] = ()
    """Groups below this one, which only help to write down its hosts."""


def check(
    deployments: Sequence[Deployment] | None,
    variables: Mapping[str, Mapping[str, Any]],
    required: bool = True,
    where: Where = named,
) -> list[Finding]:
    """What is wrong with the shape of the inventory.

    deployments: the child groups of ``deployments``, None when there is no such group.
    variables: host → its variables, with defaults; what is wrong, or known on the node only, is not among them.
    required: whether there must be one; nodes can be prepared before anybody knows what they will serve.
    """
    if not deployments and not required:
        return []
    if not deployments:
        return [
            failed(
                "no-deployment",
                f"group {PARENT}",
                "the inventory has no such group" if deployments is None else "the group has no child group",
                f"write one child group of '{PARENT}' for every model that is to be served, with its hosts in rank order",
            )
        ]
    return [
        *(found for one in deployments for found in misnamed(one.name)),
        *_empty(deployments),
        *_several(deployments),
        *_uneven(deployments, variables, where),
        *_one_machine_twice(deployments, variables),
        *_shared_gpus(deployments, variables, where),
    ]


def misnamed(deployment: str) -> list[Finding]:
    """What is wrong with the name of a deployment."""
    why = "the name means something else to Ansible and our playbooks" if deployment in TAKEN else refused(deployment)
    remedy = f"give the group another name: letters, digits and _, at most {LONGEST} of them"
    return [failed("name-of-deployment", f"group {_short(deployment)}", why, remedy)] if why else []


def _short(name: str) -> str:
    return name if len(name) <= 40 else f"{name[:37]}..."


def unnamed_hosts(hosts: Iterable[str]) -> list[Finding]:
    """Names of hosts that no label, URL and ssh can carry."""
    return [
        failed("name-of-host", f"host {_short(host)}", f"its name {wrong.message}", "give it another, and ansible_host")
        for host in dict.fromkeys(hosts)
        if (wrong := addresses.host(host, frozenset()))
    ]


def misspelt_groups(groups: Mapping[str, Collection[str]]) -> list[Finding]:
    """Groups with hosts that no playbook reads although their names were meant for one. groups: name → hosts."""
    ours = sorted({PARENT, MACHINES, *AROUND})
    return [
        failed("unknown-group", f"group {name}", "no playbook reads it", f"call it {near}, or give it another name")
        for name in groups
        if name not in ours and (near := spelling.misspelt(name, [one for one in ours if one not in groups]))
    ]


def replicas(deployment: Deployment, variables: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    """The hosts of each replica; one replica of all where `check` has findings about it."""
    count = _number(variables.get(deployment.hosts[0], {}), "engine_replicas") if deployment.hosts else None
    try:
        return groups(deployment.hosts, 1 if count is None else count)
    except ValueError:
        return [list(deployment.hosts)]


RETURNED = frozenset(
    """
    benchmark_report engine_command engine_diagnosis engine_endpoint_checks engine_rendezvous engine_status router_obstacles
    router_status webui_endpoint_checks
    """.split()
)
"""What roles return on hosts: a check after such a role, in the same run, finds it among their variables."""


def misspelt(
    names: Iterable[str],
    roles: Mapping[str, Collection[str]],
    where: Callable[[str], str],
    used: Callable[[str], bool] = lambda _name: False,
) -> list[Finding]:
    """Variables that no role reads although their names were meant for one.

    names: of variables. roles: role → the names of its options. where: a variable → how a message names it. used: whether
    another variable is made of it. A name that is no option of any role and almost is one (`values.spelling`) is refused;
    anything else is the user's own. Names with two underscores are the roles' own: a check that comes after other playbooks
    of the same run finds what their tasks registered.
    """
    known = {option: role for role, options in roles.items() for option in options}
    findings = []
    for name in sorted(set(names) - set(known) - RETURNED):
        if name.startswith("__"):
            continue
        prefix = next((f"{role}_" for role in roles if name.startswith(f"{role}_")), "")
        near = spelling.misspelt(name, known, prefix)
        if near and not used(name):
            remedy = f"write {near}, or give it another name"
            findings.append(
                failed("unknown-variable", where(name), f"nothing reads {name}", remedy, variable=name, meant=near)
            )
    return findings


def _empty(deployments: Sequence[Deployment]) -> list[Finding]:
    return [
        failed("empty-deployment", f"group {one.name}", "the deployment has no hosts", "name its hosts, rank 0 first")
        for one in deployments
        if not one.hosts
    ]


def _several(deployments: Sequence[Deployment]) -> list[Finding]:
    places: dict[str, list[str]] = {}
    for one in deployments:
        for host in one.hosts:
            places.setdefault(host, []).append(one.name)
    return [
        failed(
            "host-in-two-deployments",
            f"host {host}",
            f"it stands in {' and '.join(names)}",
            "give the machine a second host name with the same ansible_host, and each name its own engine_gpus",
        )
        for host, names in places.items()
        if len(names) > 1
    ]


def _uneven(
    deployments: Sequence[Deployment], variables: Mapping[str, Mapping[str, Any]], where: Where
) -> list[Finding]:
    """Replicas are equal, and all hosts of a deployment know the same number of them."""
    findings = []
    for one in deployments:
        there = where(one.hosts[0], "engine_replicas", one.name) if one.hosts else ""
        counts = {host: _number(variables.get(host, {}), "engine_replicas") for host in one.hosts}
        known = {count for count in counts.values() if count is not None}
        if len(known) > 1:
            listed = ", ".join(f"{count} on {host}" for host, count in counts.items() if count is not None)
            findings.append(
                failed("replicas-differ", there, f"it differs: {listed}", f"write it once, for group {one.name}")
            )
            continue
        try:
            if known and one.hosts:
                groups(one.hosts, *known)
        except ValueError as error:
            size = len(one.hosts)
            fitting = ", ".join(str(count) for count in range(1, size + 1) if size % count == 0)
            findings.append(
                failed("replicas-uneven", there, str(error), f"write one of {fitting}, or give the group other hosts")
            )
    return findings


def _machine(host: str, variables: Mapping[str, Mapping[str, Any]]) -> str:
    return str(variables.get(host, {}).get("ansible_host", host))


def _number(host_vars: Mapping[str, Any], name: str) -> int | None:
    """A whole number; None where it is not set, or wrong, which another check reports."""
    value = str(host_vars.get(name, ""))
    return int(value) if value.isdecimal() else None


def _one_machine_twice(deployments: Sequence[Deployment], variables: Mapping[str, Mapping[str, Any]]) -> list[Finding]:
    """The units of a deployment have its name: one machine holds one rank of it."""
    findings = []
    for one in deployments:
        seen: dict[str, str] = {}
        for host in one.hosts:
            other = seen.setdefault(_machine(host, variables), host)
            if other != host:
                findings.append(
                    failed(
                        "machine-twice",
                        f"group {one.name}",
                        f"{other} and {host} are one machine, {_machine(host, variables)}",
                        "name it once; for several copies of the model on it use engine_data_parallel_size",
                    )
                )
    return findings


def _shared_gpus(
    deployments: Sequence[Deployment], variables: Mapping[str, Mapping[str, Any]], where: Where
) -> list[Finding]:
    """Two deployments on one machine need GPUs of their own, and must name them."""
    users: dict[str, list[tuple[str, str, Any]]] = {}
    for one in deployments:
        for host in one.hosts:
            host_vars = variables.get(host, {})
            if host_vars.get("engine_device") != "cpu":
                users.setdefault(_machine(host, variables), []).append((one.name, host, host_vars.get("engine_gpus")))
    findings = []
    for machine, names in users.items():
        taken: dict[str, str] = {}
        for deployment, host, gpus in names if len({host for _unused, host, _unused in names}) > 1 else []:
            if not isinstance(gpus, (list, tuple)):
                others = ", ".join(name for name, other, _unused in names if other != host)
                message = f"{machine} also serves {others}, and engine_gpus does not divide its GPUs"
            elif shared := [str(gpu) for gpu in gpus if taken.setdefault(str(gpu), deployment) != deployment]:
                message = f"GPU {', '.join(shared)} of {machine} is also used by {taken[shared[0]]}"
            else:
                continue
            remedy = "give each of the machine's names its own engine_gpus"
            there = where(host, "engine_gpus", f"{host} ({deployment})")
            findings.append(failed("gpus-used-twice", there, message, remedy, variable="engine_gpus"))
    return findings
