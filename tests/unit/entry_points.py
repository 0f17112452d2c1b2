# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an entry point of a role reads: the variables in its task files and in everything that these use."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.fullrank.serving.plugins.plugin_utils.inventory.router_routes import OWN_VARIABLES
from places import CHECKOUT

ROLES = CHECKOUT / "roles"
NAMES = sorted(path.name for path in ROLES.iterdir() if path.is_dir())

_VARIABLE = re.compile(r"(?<![\w.])(?:__)?[a-z]\w*")
_TASK_FILE = re.compile(r"(?:import|include)_tasks: (\w+\.yml)")
_TEMPLATE = re.compile(r"[\w./-]+\.j2")


def specs(role: str) -> dict[str, dict[str, Any]]:
    """Entry point → its argument specification."""
    return dict(yaml.safe_load((ROLES / role / "meta/argument_specs.yml").read_text())["argument_specs"])


def options(role: str) -> dict[str, dict[str, Any]]:
    """All options of a role's entry points."""
    return {name: option for one in specs(role).values() for name, option in one.get("options", {}).items()}


def variables(role: str, folder: str) -> dict[str, Any]:
    """The variables in ``defaults`` or ``vars`` of a role."""
    path = ROLES / role / folder / "main.yml"
    return dict(yaml.safe_load(path.read_text()) or {}) if path.exists() else {}


@cache
def reads(role: str, entry_point: str) -> frozenset[str]:
    """The names of the options that the entry point uses, directly or by other variables, templates and handlers of its role."""
    known = {
        name: yaml.safe_dump(value)
        for folder in ("defaults", "vars")
        for name, value in variables(role, folder).items()
    }
    own = set(options(role))
    found: set[str] = set()
    texts = [_text(ROLES / role / f"tasks/{entry_point}.yml")]
    seen: set[str] = set()
    while texts:
        text = texts.pop()
        places = [ROLES / role / "tasks" / name for name in _TASK_FILE.findall(text)]
        places += [ROLES / role / "templates" / name for name in _TEMPLATE.findall(text)]
        if "notify:" in text:
            places.append(ROLES / role / "handlers/main.yml")
        if "fullrank.serving.routes:" in text:
            found |= set(OWN_VARIABLES) & own  # of the deployments, from their own hosts
        for path in places:
            if str(path) not in seen and path.exists():
                seen.add(str(path))
                texts.append(_text(path))
        for name in set(_VARIABLE.findall(text)) - seen:
            seen.add(name)
            found |= {name} & own
            texts += [known[name]] if name in known else []
    return frozenset(found)


def _text(path: Path) -> str:
    """Without comments and without the names of tasks."""
    lines = (line for line in path.read_text().splitlines() if not line.lstrip().startswith(("#", "- name:")))
    return "\n".join(line.split(" # ")[0] for line in lines)
