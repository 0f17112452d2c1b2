# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the collection uses of ansible-core is public, so that a new minor version changes nothing for it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import yaml
from places import CHECKOUT

PLUGINS = CHECKOUT / "plugins"
ALLOWED = {
    ("plugin_utils/diagnosis/literals.py", "re._parser"): "docs/decisions/162",
    ("module_utils/comm_check/worker.py", "os._exit"): "Python's own, documented",
    ("plugin_utils/inventory/groups.py", "task_vars['hostvars']._inventory"): "docs/decisions/001",
    ("action/rank_wait.py", "self._task._uuid"): "docs/decisions/001",
    (
        "plugin_utils/actions/host_variables.py",
        "from ansible._internal._datatag._tags import Origin",
    ): "docs/decisions/125",
}
"""(file below plugins, expression) → why it stands there although its name begins with an underscore."""


def private_uses(path: Path) -> set[str]:
    """The underscored names that a file takes of something else than its own classes."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
            # its own, or what ActionBase and LookupBase hand to their subclasses; AnsibleModule's `_diff` has no other name
            if ast.unparse(node.value) not in ("self", "cls") and node.attr != "_diff":
                found.add(ast.unparse(node))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "ansible":
            names = [*str(node.module).split("."), *(one.name for one in node.names)]
            if any(name.startswith("_") for name in names):
                found.add(ast.unparse(node))
    return found


def test_nothing_private_is_used_but_what_a_decision_allows() -> None:
    found = {
        (path.relative_to(PLUGINS).as_posix(), use) for path in PLUGINS.rglob("*.py") for use in private_uses(path)
    }
    assert found == set(ALLOWED)


def returned(path: Path) -> set[str]:
    """The keys that a module's RETURN documents."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "RETURN":
            return set(yaml.safe_load(ast.literal_eval(node.value)) or {})
    return set()


def test_no_module_returns_a_key_that_means_something_else_to_ansible() -> None:
    """A list of peers by the name ``unreachable`` made the whole node unreachable; a method of a dict has no dot in Jinja."""
    own = {"failed", "skipped", "unreachable", "results", "warnings", "deprecations", "exception", *dir(dict)}
    modules = sorted((PLUGINS / "modules").glob("*.py"))
    assert {path.stem: returned(path) & own for path in modules if returned(path) & own} == {}
    assert returned(PLUGINS / "modules/rank_host_info.py")


@pytest.mark.parametrize(
    "text",
    ["from ansible._internal import x", "from ansible.errors import _x", "y = task_vars['hostvars']._inventory"],
)
def test_a_private_use_is_seen(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.py").write_text(text)
    assert private_uses(tmp_path / "x.py")
