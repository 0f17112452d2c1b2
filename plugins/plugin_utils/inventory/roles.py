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


PLAYBOOKS = "playbooks"
"""Stands for a role where the variables of playbooks, which no role declares, are listed among those of roles."""
NODES_ROLES = ("host_tuning", "nvidia_driver", "rdma", "docker", "nvidia_container_toolkit")
"""The roles that ``playbooks/nodes.yml`` knows, in its order."""
_MIRRORS = {
    **dict.fromkeys(
        (
            "docker",
            "nvidia_cuda",
            "nvidia_driver_run",
            "nvidia_container_toolkit",
            "doca",
            "mlnx_ofed",
            "nerdctl",
            "grafana",
        ),
        "repository",
    ),
    **dict.fromkeys(("modelscope", "huggingface", "python_index"), "url"),
    **dict.fromkeys(("images", "ghcr"), "registry"),
}
_OF_PLAYBOOKS: dict[str, dict[str, Any]] = {
    "mirrors": {"type": "dict", "default": {}},
    "nodes_roles": {"type": "list", "elements": "str", "choices": list(NODES_ROLES), "default": []},
    "nodes_reboot_ok": {"type": "bool", "default": False},
    "diagnose_directory": {"type": "path"},
}


def checked_options() -> dict[str, dict[str, Any]]:
    """Role → its options, and below `PLAYBOOKS` the variables that playbooks read themselves."""
    return {**options(), PLAYBOOKS: _OF_PLAYBOOKS}


@cache
def rules() -> dict[str, Any]:
    """Option → its range or format, as the roles' ``meta/values.yml`` have them (`plugin_utils.values.check.Rules`)."""
    found: dict[str, Any] = {"mirrors": _MIRRORS, "diagnose_directory": "controller-path"}
    for path in sorted(ROLES.glob("*/meta/values.yml")):
        found |= yaml.safe_load(path.read_text(encoding="utf-8"))
    return found


@cache
def brings_file(role: str, name: str) -> bool:
    """Whether a role brings a file of this name."""
    return (ROLES / role / "files" / name).exists()


@cache
def nccl_profiles() -> frozenset[str]:
    """The names of the site profiles that the collection brings (the lookup ``nccl_profile``)."""
    return frozenset(path.stem for path in (ROLES.parent / "plugins/plugin_utils/data/nccl_profiles").glob("*.yml"))
