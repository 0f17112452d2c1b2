# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks the inventory on the controller: no connection, nothing changed."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property, partial
from typing import Any

from ansible.errors import AnsibleError
from ansible_collections.fullrank.serving.plugins.module_utils.common import findings as common_findings
from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import Finding
from ansible_collections.fullrank.serving.plugins.module_utils.endpoint.tasks import EMBED
from ansible_collections.fullrank.serving.plugins.plugin_utils.actions.controller import ControllerAction
from ansible_collections.fullrank.serving.plugins.plugin_utils.actions.host_variables import HostVariables
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.files import read_catalog
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory import (
    equal,
    limits,
    needs,
    ports,
    router_routes,
    shape,
    tags,
    tasks,
    unread,
    variables,
)
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.endpoints import (
    ROUTERS,
    routers,
    routers_on_heads,
    value,
)
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.groups import deployments, variables_of
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.roles import (
    PLAYBOOKS,
    checked_options,
    nccl_profiles,
    rules,
)
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.shape import (
    AROUND,
    MACHINES,
    PARENT,
    Deployment,
)
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch import rehearsal
from ansible_collections.fullrank.serving.plugins.plugin_utils.launch.balancer import balancer
from ansible_collections.fullrank.serving.plugins.plugin_utils.values import secret_values

OPTIONS: dict[str, dict[str, Any]] = {
    "check_variables": {"type": "bool", "default": True},
    "required": {"type": "bool", "default": True},
    "hosts": {"type": "list", "elements": "str"},
    "whole": {"type": "str", "choices": list(limits.WHOLE), "default": limits.NOTHING},
    "of": {"type": "list", "elements": "str", "default": []},
    "tags": {"type": "list", "elements": "str", "default": []},
    "works_on": {"type": "list", "elements": "str", "default": [PARENT, MACHINES, *AROUND]},
}
Spec = dict[str, dict[str, Any]]


class ActionModule(ControllerAction):
    """The action behind ``fullrank.serving.deployments``."""

    options = OPTIONS

    def answer(self, params: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        found = deployments(task_vars)
        inventory = Inventory(found or [], task_vars, self._loader, params["check_variables"])
        findings = inventory.findings()
        values = inventory.values
        findings = [*shape.check(found, values, params["required"], inventory.where), *findings]
        findings = [secret_values.clean(one, inventory.secrets) for one in findings]
        cut = {one.name: shape.replicas(one, values) for one in found or []}
        findings += _of_run(params, cut, task_vars["groups"], values)
        result: dict[str, Any] = {
            "deployments": {one.name: list(one.hosts) for one in found or []},
            "replicas": cut,
            "routers_on_heads": {},
            "findings": findings,
        }
        if not common_findings.failures(findings):
            hosts = list(task_vars["groups"].get(ROUTERS, []))
            known = {**values, **variables_of(task_vars, hosts)}
            result["routers_on_heads"] = routers_on_heads(cut, hosts, known)
        if message := common_findings.failures(findings, "the inventory"):
            return result | {"failed": True, "msg": message}
        if warnings := common_findings.lines(findings, common_findings.WARN):
            return result | {"warnings": warnings}
        return result


def _of_run(
    params: Mapping[str, Any],
    cut: Mapping[str, Sequence[Sequence[str]]],
    groups: Mapping[str, Sequence[str]],
    values: Mapping[str, Mapping[str, Any]],
) -> list[Finding]:
    """What is wrong with the tags and the limit of this run. cut: deployment → the hosts of each replica."""
    chosen = {role for host in values.values() for role in host.get("nodes_roles") or []}
    found = tags.check(params["tags"], groups, chosen)
    if params["hosts"] is None:
        return found
    sent = [name for name, replicas in cut.items() if any(replicas) and "model_hub" in values.get(replicas[0][0], {})]
    meant = {name: replicas for name, replicas in cut.items() if name in (params["of"] or cut)}
    return [
        *found,
        *limits.empty(groups, params["hosts"], params["works_on"]),
        *limits.check(meant, params["hosts"], params["whole"], sent),
    ]


class Inventory:
    """All hosts that playbooks use, each with its variables. values: host → those without a mistake, with defaults."""

    def __init__(
        self, found: Sequence[Deployment], task_vars: Mapping[str, Any], loader: Any, check_variables: bool
    ) -> None:
        self._found = found
        self._groups: Mapping[str, Sequence[str]] = task_vars["groups"]
        self._specs = checked_options()
        self._checks_variables = check_variables
        self._hosts = {
            host: HostVariables(loader, task_vars["hostvars"], host)
            for host in dict.fromkeys([*(host for one in found for host in one.hosts), *self._around_hosts()])
        }
        self._ranks = {host for one in found for host in one.hosts}
        self._uses: dict[str, bool] = {}
        self._of_launches: dict[str, dict[str, Any]] = {}
        self.values: dict[str, dict[str, Any]] = {}
        self.secrets: set[str] = set()
        """Of the variables that were read. No check shows them; this is for what a check does not know to be one."""
        self._wrong: dict[str, set[str]] = {}

    def _around_hosts(self) -> Iterator[str]:
        for group in (MACHINES, *AROUND):
            yield from self._groups.get(group, ())

    @cached_property
    def _names(self) -> frozenset[str]:
        """What the inventory calls its machines."""
        addresses = (host.raw.get("ansible_host") for host in self._hosts.values())
        return frozenset([*self._hosts, *(str(one) for one in addresses if one)])

    def where(self, host: str, variable: str, group: str) -> str:
        """How a message names a variable."""
        place = self._hosts[host].place(variable) if host in self._hosts else ""
        return f"{variable} ({place})" if place else f"{variable} of {group}"

    def findings(self) -> list[Finding]:
        """What is wrong with variables and names, besides the shape."""
        found: list[Finding] = []
        for group, hosts, spec, prefix in self._checked():
            for host in hosts:
                found += self._of_host(host, group, spec, prefix)
        if self._checks_variables:
            found += [*self._needs(), *self._launches(), *self._routes(), *shape.misspelt_groups(self._groups)]
            found += shape.unnamed_hosts(self._hosts)
        served = [ports.Served(one.name, shape.replicas(one, self.values)) for one in self._found]
        around = {group: self._groups.get(group, ()) for group in (MACHINES, *AROUND)}
        found += [finding for one in self._found for finding in self._differing(one)]
        return common_findings.unique([*found, *ports.check(served, around, self.values, self.where)])

    def _differing(self, one: Deployment) -> list[Finding]:
        """Ranks that are not alike in what makes them one engine."""
        below = {name: self._groups.get(name, ()) for name in one.below}
        return equal.check(one, shape.replicas(one, self.values), self.values, below, self.where)

    def _checked(self) -> Iterator[tuple[str, Sequence[str], Spec, str]]:
        """(group, hosts, what is expected of their variables, beginning of the names of variables that are looked at)."""
        every = {name: option for options in self._specs.values() for name, option in options.items()}
        # a deployment must set what its role requires; other roles' required options are set by plays or by other hosts
        voluntary = {name: {**option, "required": False} for name, option in every.items()}
        for one in self._found:
            yield one.name, one.hosts, {**voluntary, **self._specs["deployment"]}, ""
        yield MACHINES, [host for host in self._groups.get(MACHINES, ()) if host not in self._ranks], voluntary, ""
        for name in AROUND:
            yield name, self._groups.get(name, ()), {**self._specs[PLAYBOOKS], **self._specs[name]}, f"{name}_"

    def _of_host(self, host: str, group: str, spec: Spec, prefix: str) -> list[Finding]:
        known = self._hosts[host]
        read = known.read([*spec, "ansible_host", "ansible_port"])
        for name, one in read.values.items():
            self.secrets.update(secret_values.known(one, spec.get(name), secret=secret_values.secret_name(name)))
        checked = variables.check(
            read,
            group,
            {**spec, **CONNECTION},
            RULES | rules(),
            self._names,
        )
        self.values[host] = {**checked.values, **self.values.get(host, {})}
        self._of_launches.pop(host, None)
        self._wrong.setdefault(host, set()).update(checked.wrong)
        if not self._checks_variables:
            return []
        names = {name for name in known.raw if name.startswith((prefix, "mir", "node"))}
        misspelt = shape.misspelt(names, self._specs, known.written, known.uses)
        names -= {one["data"]["variable"] for one in misspelt}
        belongs = partial(self._belongs, host, group) if host in self._ranks else lambda _name: ""
        return [*checked.findings, *misspelt, *unread.unread(names, self._specs, known.written, self._used, belongs)]

    def _used(self, variable: str) -> bool:
        """Whether a variable of any host is made of it: a router's may be made of a deployment's."""
        if variable not in self._uses:
            self._uses[variable] = any(one.uses(variable) for one in self._hosts.values())
        return self._uses[variable]

    def _belongs(self, host: str, group: str, name: str) -> str:
        """What to write instead of a variable that is an option of the deployment's engine."""
        engine, version = (self.values[host].get(f"engine_{one}", "") for one in ("name", "version"))
        if not engine or not rehearsal.has_name(name, str(version), read_catalog(engine)):
            return ""
        own = self._launch_values(host)
        setting = self._hosts[host].read([name]).values.get(name)
        if not own or setting is None:
            return ""
        return rehearsal.belongs(name, setting, group, own, read_catalog(engine))

    def _needs(self) -> Iterator[Finding]:
        """What variables need of each other."""
        names = [one.name for one in self._found]
        heads = {one.name: self.values.get(one.hosts[0], {}) for one in self._found if one.hosts}
        embedding = [name for name, own in heads.items() if tasks.of(own).name == EMBED]
        of_ranks = (needs.weights, needs.engine)
        groups: list[tuple[str, Sequence[str], Collection[needs.Rule]]] = [
            *((one.name, one.hosts, of_ranks) for one in self._found),
            (MACHINES, self._groups.get(MACHINES, ()), (needs.nodes,)),
            ("router", self._groups.get("router", ()), (needs.router,)),
            ("webui", self._groups.get("webui", ()), (needs.webui,)),
            ("monitoring", self._groups.get("monitoring", ()), (needs.monitoring,)),
        ]
        for group, hosts, of_group in groups:
            context = needs.Context(group, hosts, names, nccl_profiles(), embedding)
            for host in hosts:
                for rule in of_group:
                    for one in rule(self.values.get(host, {}), context):
                        if one.variable not in self._wrong.get(host, ()):
                            there = self._place(host, group, one.variable, one.steps)
                            level = common_findings.warned if one.warns else common_findings.failed
                            yield level(one.code, there, one.message, one.remedy, **_data(host, one))

    def _place(self, host: str, group: str, variable: str, steps: Sequence[str | int]) -> str:
        return variables.where(variables.Host(host, {}, place=self._hosts[host].place), group, variable, steps)

    def _launches(self) -> Iterator[Finding]:
        """What the engines would refuse, by the flag catalogs of their versions."""
        for one in self._found:
            replicas = shape.replicas(one, self.values)
            known = [host for host in self._groups.get(ROUTERS, ()) if host in self.values]
            routed = bool(any(replicas) and routers(one.name, replicas[0][0], known, self.values))
            for cut in replicas:
                for host in cut[:1]:
                    yield from self._launch(one.name, host, len(cut), routed)

    def _launch(self, group: str, host: str, nnodes: int, routed: bool) -> Iterator[Finding]:
        wrong = self._wrong.get(host, set())
        if not (values := self._launch_values(host)):
            return
        for one in rehearsal.refused(group, nnodes, values, read_catalog(values["engine_name"]), routed):
            if one.variable not in wrong:
                there = self._place(host, group, one.variable, one.steps)
                yield {**one.finding, "where": there, "data": _data(host, one)}

    def _launch_values(self, host: str) -> dict[str, Any]:
        """What a launch is rendered from; empty where too little of it is known here."""
        if host not in self._of_launches:
            self._of_launches[host] = self._read_launch_values(host)
        return self._of_launches[host]

    def _read_launch_values(self, host: str) -> dict[str, Any]:
        values = {name: value for name, value in self.values[host].items() if name in rehearsal.VARIABLES}
        if not {"engine_name", "engine_version", "engine_model"} <= set(values):
            return {}
        for name in ("engine_executor", "engine_runtime", "engine_served_model_name"):
            try:
                values.setdefault(name, self._hosts[host].of_roles(name))
            except AnsibleError:
                return {}
        return values

    def _routes(self) -> Iterator[Finding]:
        """What the routers would refuse."""
        cut = {one.name: shape.replicas(one, self.values) for one in self._found if one.hosts}
        heads = [replicas[0][0] for replicas in cut.values()]
        for host in self._groups.get(ROUTERS, ()):
            wrong = {name for one in (host, *heads) for name in self._wrong.get(one, ())}
            own = self.values[host]
            chosen = [name for name in own.get("router_deployments") or [] if name in cut]
            if "router_deployments" in wrong or (own.get("router_deployments") and not chosen):
                continue
            router = router_routes.Router(host, str(value(own, "router_host")), chosen)
            found, findings = router_routes.routes(router, cut, self.values)
            program = {name: value(own, f"router_{name}") for name in ("smg_version", "smg_venv")}
            for route in found:
                findings += balancer(route, program)["findings"] if route["balancer"] else []
            for one in findings:
                known = router_routes.known_elsewhere(one) or router_routes.unfounded(one, wrong)
                if one["severity"] == common_findings.FAIL and not known:
                    yield self._at_its_place(one, [host, *heads])

    def _at_its_place(self, one: Finding, hosts: Sequence[str]) -> Finding:
        """A finding about ``VARIABLE of GROUP``, with the file where one of the hosts has the variable."""
        variable = re.split(r"[ .+]", one["where"])[0]
        place = next((found for host in hosts if (found := self._hosts[host].place(variable))), "")
        return {**one, "where": f"{one['where']} ({place})" if place else one["where"], "data": {"variable": variable}}


def _data(host: str, one: needs.Need | rehearsal.Refused) -> dict[str, Any]:
    return {"variable": one.variable, "steps": list(one.steps), "host": host}


CONNECTION: Spec = {"ansible_host": {"type": "str"}, "ansible_port": {"type": "int"}}
"""Ansible's own variables that become addresses of ours."""
RULES = {"ansible_host": "host", "ansible_port": "1..65535"}
