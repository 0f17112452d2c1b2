# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the roles of this collection declare, read from their files. Private to this collection."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROLES = Path(__file__).parents[3] / "roles"


@cache
def _defaults(role: str) -> Mapping[str, Any]:
    return dict(yaml.safe_load((ROLES / role / "defaults/main.yml").read_text(encoding="utf-8")))


def default(role: str, name: str) -> Any:
    """The default of a role's variable, for hosts where the role does not run. An expression is returned as text.

    KeyError: the role has no such default.
    """
    return _defaults(role)[name]


@cache
def group_port_offset() -> int:
    """The distance of ``engine_group_port``, where it is not set, from ``engine_rendezvous_port``."""
    return int(yaml.safe_load((ROLES / "deployment/vars/main.yml").read_text("utf-8"))["deployment_group_port_offset"])


@cache
def options() -> dict[str, dict[str, Any]]:
    """Role → its options, those of all its entry points (``meta/argument_specs.yml``)."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(ROLES.glob("*/meta/argument_specs.yml")):
        entry_points = yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"].values()
        found[path.parents[1].name] = {
            name: option for one in entry_points for name, option in one.get("options", {}).items()
        }
    return found
