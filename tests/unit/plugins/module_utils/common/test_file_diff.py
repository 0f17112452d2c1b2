# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A file's change as Ansible shows it."""

from __future__ import annotations

import ast

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.common.file_diff import State, file_diff
from places import CHECKOUT

SECRET = "sk-123"


@pytest.mark.parametrize(
    ("before", "after", "headers", "texts"),
    [
        (None, ("a\n", 0o600), ("/x", "/x (mode 0600)"), ("", "a\n")),
        (("a\n", 0o644), ("b\n", 0o600), ("/x (mode 0644)", "/x (mode 0600)"), ("a\n", "b\n")),
        (("a\n", 0), None, ("/x", "/x (removed)"), ("a\n", "")),
    ],
)
def test_what_was_and_what_is(
    before: State | None, after: State | None, headers: tuple[str, str], texts: tuple[str, str]
) -> None:
    shown = file_diff("/x", before, after)
    assert (shown["before_header"], shown["after_header"]) == headers
    assert (shown["before"], shown["after"]) == texts


@pytest.mark.parametrize("before", [None, ("", 0o600), (SECRET, 0o600), (SECRET + "0", 0o600)])
@pytest.mark.parametrize("after", [None, (SECRET, 0o600)])
def test_a_secret_is_never_shown(before: State | None, after: State | None) -> None:
    shown = file_diff("/x", before, after, secret=True)
    assert SECRET not in str(shown)
    assert (shown["before"] != shown["after"]) == ((before or ("",))[0] != (after or ("",))[0])


def test_no_other_code_makes_one() -> None:
    others = {
        path.relative_to(CHECKOUT).as_posix()
        for path in (CHECKOUT / "plugins").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and node.value == "before_header"
    }
    assert others == {"plugins/module_utils/common/file_diff.py"}
