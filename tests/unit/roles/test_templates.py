# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Templates of the roles: each lies at the path of its file on a node, and a module puts the header line before it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.fullrank.serving.plugins.module_utils.node import managed_files
from ansible_collections.fullrank.serving.plugins.module_utils.rank import units as rank_units
from ansible_collections.fullrank.serving.plugins.module_utils.router import files as router_files
from ansible_collections.fullrank.serving.plugins.module_utils.systemd.unit_text import HEADER
from ansible_collections.fullrank.serving.plugins.module_utils.webui import unit as webui_unit
from places import CHECKOUT
from router_samples import SMG, WITH_KEYS

ROLES = CHECKOUT / "roles"
TEMPLATES = sorted(ROLES.glob("*/templates/**/*.j2"))
LOOKUP = re.compile(r"lookup\('ansible\.builtin\.template', '([^']+)'\)")


def entries(value: Any) -> Iterator[dict[str, Any]]:
    """Every mapping in a YAML document."""
    if isinstance(value, dict):
        yield value
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from entries(one)


def uses(role: Path) -> Iterator[tuple[str, str]]:
    """(template, path on the node) of each lookup in the tasks and variables of a role."""
    for file in sorted([*role.glob("tasks/*.yml"), *role.glob("vars/*.yml")]):
        for entry in entries(yaml.safe_load(file.read_text())):
            unit = f"/etc/systemd/system/{entry.get('name')}.service"
            for key, path in (("content", str(entry.get("path", ""))), ("unit", unit)):
                for template in LOOKUP.findall(str(entry.get(key, ""))):
                    yield template, path.replace("{{ __monitoring_systemd }}", "/etc/systemd/system")


@pytest.mark.parametrize("role", sorted({path.relative_to(ROLES).parts[0] for path in TEMPLATES}))
def test_a_template_lies_at_the_path_of_its_file(role: str) -> None:
    found = list(uses(ROLES / role))
    assert [template for template, path in found if template != f"{path[1:]}.j2"] == []
    own = {str(path.relative_to(ROLES / role / "templates")) for path in TEMPLATES if ROLES / role in path.parents}
    assert {template for template, _unused in found} == own, "each is used, and each that is used is there"


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: str(path.relative_to(ROLES)))
def test_no_template_has_a_header_of_its_own(path: Path) -> None:
    assert not path.read_text().startswith("#"), "the module that writes the file puts the header line first"


ROUTE = {**WITH_KEYS, "port": 80, "balancer": SMG}
SPEC = webui_unit.Spec(version="1.2.3", runtime="process", data="/d", host="::", port=80, program="/p")
RENDERED = {
    "rank": rank_units.render_unit(
        deployment="tiny",
        description="",
        argv=["/x"],
        env={},
        spec_hash="",
        environment_file="",
        load_credential="",
        stop_timeout=1,
        dynamic_user=True,
    ),
    "supervisor": rank_units.render_supervisor_unit(deployment="tiny", description="", stop_timeout=1),
    "router": router_files.unit(ROUTE),
    "router's smg": router_files.balancer_unit(ROUTE),
    "router's HAProxy": router_files.configuration(ROUTE, "", 2),
    "webui": webui_unit.render(SPEC, ""),
    "webui's secrets": webui_unit.secret_file({"A": "1"}),
    "managed file": (managed_files.wanted({"path": "/etc/x", "content": "x\n"}) or ("", 0))[0],
}


@pytest.mark.parametrize("name", RENDERED)
def test_a_text_that_a_module_writes_begins_with_the_header(name: str) -> None:
    assert RENDERED[name].startswith(f"# {HEADER}\n") and RENDERED[name].count(HEADER) == 1


def test_the_header_is_defined_once() -> None:
    texts = [
        path for root in ("plugins", "roles", "playbooks") for path in (CHECKOUT / root).rglob("*") if path.is_file()
    ]
    named = [path for path in texts if path.suffix != ".pyc" and HEADER.encode() in path.read_bytes()]
    assert [path.name for path in named] == ["unit_text.py"]
