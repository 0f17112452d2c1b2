# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The variables of a host as the controller can evaluate them, and where they were set. A piece of the action `deployments`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError, AnsibleUndefinedVariable
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible.vars.hostvars import HostVars
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.roles import ROLES
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.shape import RETURNED
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.variables import Host

try:  # docs/decisions/125
    from ansible._internal._datatag._tags import Origin
except ImportError:
    Origin = None

BENEATH = ("deployment/defaults", "deployment/vars", "engine/defaults", "model/defaults", "webui/defaults")
"""Files of roles, ``main.yml`` in each, whose variables an inventory may use in its own."""
_WORD = re.compile(r"[A-Za-z_]\w*")
_UNDEFINED = re.compile(r"'(\w+)' is undefined")
CONNECTION = re.compile(r"ansible_(host|user|port|ssh_\w+|become\w*|connection|python_interpreter|password)")
"""Variables that begin as facts do, and are the inventory's."""


@cache
def _beneath() -> Mapping[str, Any]:
    """The variables of `BENEATH`, as expressions that Ansible trusts. Read once: they are the same for each host."""
    found: dict[str, Any] = {}
    for folder in BENEATH:
        path = str(ROLES / folder / "main.yml")
        found |= DataLoader().load_from_file(path, cache="none", trusted_as_template=True) or {}
    return found


class HostVariables(Mapping[str, Any]):
    """The variables of a host, evaluated as in a play of its own, over the defaults of the roles that every play has.

    ``hostvars[host]`` evaluates them without ``hostvars``, and the variables of what stands in front of deployments (their
    addresses, their keys) are made of those of other hosts.
    """

    def __init__(self, loader: DataLoader, hostvars: HostVars, host: str) -> None:
        self._loader = loader
        self._hostvars = hostvars
        self.host = host
        self.raw: Mapping[str, Any] = hostvars.raw_get(host)

    @cached_property
    def _templar(self) -> Templar:
        return Templar(loader=self._loader, variables={**self.raw, "hostvars": self._hostvars})

    @cached_property
    def _over_roles(self) -> Templar:
        return Templar(loader=self._loader, variables={**_beneath(), **self.raw, "hostvars": self._hostvars})

    def __getitem__(self, name: str) -> Any:
        return self._value(self.raw[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self.raw)

    def __len__(self) -> int:
        return len(self.raw)

    def _value(self, raw: Any) -> Any:
        try:
            return self._templar.template(raw)
        except AnsibleUndefinedVariable:
            return self._over_roles.template(raw)

    def of_roles(self, name: str) -> Any:
        """A variable, or the default that the role deployment computes for it. AnsibleError: it cannot be known here."""
        return self._over_roles.template(self._over_roles.available_variables[name])

    def read(self, names: Iterable[str]) -> Host:
        """Those of the variables that are set."""
        values: dict[str, Any] = {}
        unread: dict[str, tuple[str, str]] = {}
        unknown: set[str] = set()
        for name in names:
            if name not in self.raw:
                continue
            try:
                values[name] = self[name]
            except AnsibleError as error:
                if not self._only_on_the_node(self.raw[name], error):
                    unread[name] = self._reported(error)
                elif isinstance(self.raw[name], Mapping):
                    values[name] = self._known_part(self.raw[name])
                else:
                    unknown.add(name)
        return Host(self.host, values, unread, frozenset(unknown), self.place)

    def _known_part(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        """The entries of a mapping that can be known here."""
        found = {}
        for name, value in raw.items():
            try:
                found[name] = self._value(value)
            except AnsibleError as error:
                if not self._only_on_the_node(value, error):
                    raise
        return found

    def _only_on_the_node(self, raw: Any, error: AnsibleError) -> bool:
        """Whether an expression lacks what only facts of the node, or tasks on it, tell."""
        if not isinstance(error, AnsibleUndefinedVariable):
            return False
        missing = {word for word in self._words(raw) if word not in self.raw}
        return any(
            (word.startswith(("ansible_", "__")) and not CONNECTION.fullmatch(word)) or word in RETURNED
            for word in missing
        ) or bool(self._words(raw) & {"ansible_facts", "ansible_local"})

    def _words(self, raw: Any) -> set[str]:
        """The words of an expression, and of the expressions that it names."""
        found: set[str] = set()
        rest = _WORD.findall(str(raw))
        while rest:
            word = rest.pop()
            if word not in found:
                found.add(word)
                value = self.raw.get(word) if not word.startswith(("hostvars", "groups")) else None
                rest += _WORD.findall(str(value)) if "{{" in str(value) else []
        return found

    def _reported(self, error: AnsibleError) -> tuple[str, str]:
        text = " ".join(str(error).split())
        found = _UNDEFINED.search(text) if isinstance(error, AnsibleUndefinedVariable) else None
        if not found:
            remedy = (
                "give the vault's password, --ask-vault-pass" if "vault" in text.lower() else "correct the expression"
            )
            return (text if len(text) <= 100 else f"{text[:97]}..."), remedy
        name = found[1]
        near = difflib.get_close_matches(name, list(self.raw), n=1, cutoff=0.8)
        remedy = f"write {near[0]}" if near else f"set {name}, or give it a default"
        return f"{name}, which it is made of, is not set", remedy

    def place(self, variable: str, steps: Sequence[str | int] = ()) -> str:
        """Where a variable was set, as ``file:line`` below the inventory's folder; empty where Ansible does not know.

        A value that cannot carry its origin (true, false, null) is found by that around it.
        """
        if Origin is None or variable not in self.raw:
            return ""
        chain = [self.raw[variable]]
        for step in steps:
            inner = chain[-1]
            if isinstance(inner, Mapping) and step in inner:
                chain += [inner, next(key for key in inner if key == step), inner[step]][1:]
            elif isinstance(inner, Sequence) and not isinstance(inner, str) and isinstance(step, int):
                chain.append(inner[step])
            else:
                break
        found = next((origin for one in reversed(chain) if (origin := Origin.get_tag(one))), None)
        return self._relative(found) if found else ""

    def written(self, variable: str) -> str:
        """Where the name of a variable was written, as a message names it."""
        key = next((one for one in self.raw if one == variable), None)
        found = Origin.get_tag(key) if Origin is not None and key is not None else None
        place = self._relative(found) if found else self.place(variable)
        return f"{variable} ({place})" if place else f"{variable} of {self.host}"

    def uses(self, variable: str) -> bool:
        """Whether another variable is made of it."""
        word = re.compile(rf"\b{variable}\b")
        return any(
            "{{" in text and word.search(text)
            for name, value in self.raw.items()
            if name != variable and (text := str(value))
        )

    def _relative(self, origin: Any) -> str:
        if not origin.path:
            return "-e" if "-e" in str(origin.description) else str(origin.description)
        path = Path(origin.path)
        for folder in (str(self.raw.get("inventory_dir") or ""), str(Path.cwd())):
            if folder and path.is_relative_to(folder):
                path = path.relative_to(folder)
                break
        return f"{path}:{origin.line_num}" if origin.line_num else str(path)
