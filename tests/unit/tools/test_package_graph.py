# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The packages of the utils: all arrows point downward, and an arrow that does not is found."""

from __future__ import annotations

import re

import pytest
from places import CHECKOUT

from tools.package_graph import ORDER, PAGE, PREFIX, faults, imports, picture, sources, with_picture


def test_all_arrows_of_the_collection_point_downward() -> None:
    files = sources(CHECKOUT / "plugins")
    assert sum(len(targets) for targets in imports(files).values()) > 300, "the imports are read"
    assert faults(files) == []


@pytest.mark.parametrize(
    ("files", "fault"),
    [
        ({"module_utils/node/a": "module_utils.router import b", "module_utils/router/b": ""}, "which is above it"),
        ({"module_utils/node/a": "plugin_utils.common.b import c", "plugin_utils/common/b": ""}, "travels to nodes"),
        (
            {"module_utils/node/a": "module_utils.node import b", "module_utils/node/b": "module_utils.node import a"},
            "circle",
        ),
        (
            {
                "module_utils/weights/a": "module_utils.weights.fetch import b",
                "module_utils/weights/fetch/b": "module_utils.weights import c",
                "module_utils/weights/c": "",
            },
            "circle: module_utils/weights -> module_utils/weights/fetch",
        ),
        ({"module_utils/loose": ""}, "lies beside the packages"),
        ({"module_utils/unknown/a": ""}, "is not in ORDER"),
        ({"module_utils/node/__init__": "module_utils.common import a", "module_utils/common/a": ""}, "has code"),
        ({"modules/a": "plugin_utils.common.b import c", "plugin_utils/common/b": ""}, "travels to nodes"),
        ({"plugin_utils/common/a": "modules import b", "modules/b": ""}, "imports the plugin"),
        ({"action/a": "action.b import c", "action/b": ""}, "imports the plugin"),
    ],
)
def test_a_fault_is_named(files: dict[str, str], fault: str) -> None:
    found = faults({path: f"from {PREFIX}{line}" if line else "" for path, line in files.items()})
    assert [line for line in found if fault in line], found


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (f"import {PREFIX}module_utils.router.b as b", "which is above it"),
        (f"from {PREFIX}module_utils.router.b import c", "which is above it"),
        ("from ..router import b", "has a relative import"),
    ],
)
def test_every_way_to_import_is_seen(text: str, fault: str) -> None:
    found = faults({"module_utils/node/a": text, "module_utils/router/b": ""})
    assert [line for line in found if fault in line], found


def test_the_page_on_the_architecture_has_the_graph() -> None:
    page = PAGE.read_text()
    assert page == with_picture(page, picture(sources(CHECKOUT / "plugins"))), "python -m tools.package_graph --write"
    assert with_picture("```mermaid\nold\n```\n", "new\n") == "```mermaid\nnew\n```\n"


def test_the_map_of_the_code_names_every_package() -> None:
    rows = re.findall(r"^\| `(\w+_utils/\w+)` \| \S.* \|$", (CHECKOUT / "CONTRIBUTING.md").read_text(), re.MULTILINE)
    assert rows == [f"{kind}/{name}" for kind, names in ORDER.items() for name in names]
