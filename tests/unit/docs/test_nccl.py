# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/nccl.md names every finding of the package, and the releases of its table of variables."""

from __future__ import annotations

import ast
import json
import re

from places import CHECKOUT

PACKAGE = CHECKOUT / "plugins/plugin_utils/nccl"
PAGE = (CHECKOUT / "docs/nccl.md").read_text()
CODE = re.compile(r"[a-z]+(-[a-z0-9]+)+|contradiction")


def codes() -> set[str]:
    """The words of the form of a code that stand as a text of their own, after a severity or before a message."""
    found = set()
    for file in PACKAGE.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            values: list[ast.expr] = []
            if isinstance(node, ast.Call):
                values = [*node.args, *(k.value for k in node.keywords if k.arg == "code")]
            elif isinstance(node, ast.Tuple):
                values = node.elts
            found |= {
                v.value
                for v in values
                if isinstance(v, ast.Constant) and isinstance(v.value, str) and CODE.fullmatch(v.value)
            }
    return found - {"active-backup"}


def test_every_finding_is_on_the_page() -> None:
    assert [code for code in sorted(codes()) if f"`{code}`" not in PAGE] == []
    assert len(codes()) > 70


def test_every_code_of_the_page_is_a_finding() -> None:
    table = PAGE.partition("## When something is refused")[2].partition("## Inspect")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    assert [c for row in rows for c in re.findall("`([a-z0-9-]+)`", row) if c not in codes()] == []


def test_the_page_names_the_releases_of_the_table() -> None:
    releases = list(json.loads((CHECKOUT / "plugins/plugin_utils/data/nccl_variables.json").read_text())["releases"])
    assert f"{releases[0]} to {releases[-1]}" in PAGE
