# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks the inventory on the controller: no connection, nothing changed."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible.vars.hostvars import HostVars
from ansible_collections.fullrank.serving.plugins.module_utils.common import findings as common_findings
from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import Finding
from ansible_collections.fullrank.serving.plugins.plugin_utils.actions.controller import ControllerAction
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.groups import deployments
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.roles import options
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.shape import (
    AROUND,
    LOOKED_AT,
    MACHINES,
    Deployment,
    check,
    misspelt,
    replicas,
)

OPTIONS = {"check_variables": {"type": "bool", "default": True}, "required": {"type": "bool", "default": True}}


class ActionModule(ControllerAction):
    """The action behind ``fullrank.serving.deployments``."""

    options = OPTIONS

    def answer(self, params: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        specs = options() if params["check_variables"] else {}
        found = deployments(task_vars)
        findings: list[Finding] = []
        variables: dict[str, dict[str, Any]] = {}
        # a deployment must set what its role requires; other roles' required options are set by plays or by other hosts
        spec = {**_voluntary(_options(specs)), **specs.get("deployment", {})}
        ranks = {host for one in found or [] for host in one.hosts}
        machines = Deployment(MACHINES, tuple(h for h in task_vars["groups"].get(MACHINES, []) if h not in ranks))
        checked = [
            *((one, spec, "") for one in found or []),
            (machines, _voluntary(spec), ""),
            *(
                (Deployment(name, tuple(task_vars["groups"].get(name, ()))), specs[name], f"{name}_")
                for name in AROUND
                if name in specs
            ),
        ]
        for one, expected, prefix in checked:
            hosts = {host: _Complete(self._loader, task_vars["hostvars"], host) for host in one.hosts}
            values, mistakes = checked_variables(one, hosts, expected)
            variables = values | variables
            findings += mistakes
            set_there = {name for host in one.hosts for name in task_vars["hostvars"][host] if name.startswith(prefix)}
            findings += misspelt(set_there, specs, f"group_vars of {one.name}")
        findings = [*check(found, variables, params["required"]), *findings]
        result = {
            "deployments": {one.name: list(one.hosts) for one in found or []},
            "replicas": {one.name: replicas(one, variables) for one in found or []},
            "findings": findings,
        }
        if message := common_findings.failures(findings, "the inventory"):
            result |= {"failed": True, "msg": message}
        return result


class _Complete(Mapping[str, Any]):
    """The variables of a host, evaluated as in a play of its own.

    ``hostvars[host]`` evaluates them without ``hostvars``, and the variables of what stands in front of deployments (their
    addresses, their keys) are made of those of other hosts.
    """

    def __init__(self, loader: DataLoader, hostvars: HostVars, host: str) -> None:
        self._raw = hostvars.raw_get(host)
        self._templar = Templar(loader=loader, variables={**self._raw, "hostvars": hostvars})

    def __getitem__(self, name: str) -> Any:
        return self._templar.template(self._raw[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._raw)

    def __len__(self) -> int:
        return len(self._raw)


def _options(roles: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The options of several roles as one specification."""
    return {name: option for role in roles.values() for name, option in role.items()}


def _voluntary(spec: Mapping[str, Any]) -> dict[str, Any]:
    return {name: {**option, "required": False} for name, option in spec.items()}


def checked_variables(
    deployment: Deployment, hostvars: Mapping[str, Mapping[str, Any]], spec: Mapping[str, Any]
) -> tuple[dict[str, dict[str, Any]], list[Finding]]:
    """The checked variables of each host of a group, and what is wrong with them, each mistake once."""
    values: dict[str, dict[str, Any]] = {}
    mistakes: dict[str, Finding] = {}
    for host in deployment.hosts:
        evaluated: dict[str, Any] = {}
        for name, error in _template(hostvars[host], list(dict.fromkeys([*spec, *LOOKED_AT])), evaluated):
            mistakes.setdefault(
                error,
                common_findings.failed(
                    "variable-not-readable", f"{name} of {deployment.name}", error, "correct the expression"
                ),
            )
        known = {name: value for name, value in evaluated.items() if name in spec}
        # a copy: the validator writes into the defaults of a specification
        checked = ArgumentSpecValidator(copy.deepcopy(dict(spec))).validate(known)
        for error in checked.error_messages:
            where = f"group_vars of {deployment.name}"
            mistakes.setdefault(error, common_findings.failed("variable", where, error, "correct it where it was set"))
        values[host] = {**checked.validated_parameters, **evaluated}
    return values, list(mistakes.values())


def _template(variables: Mapping[str, Any], names: Sequence[str], into: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Evaluate the variables among ``names`` that are set; yields (name, error) for those that cannot be."""
    for name in names:
        if name in variables:
            try:
                into[name] = variables[name]
            except AnsibleError as error:
                yield name, str(error)
