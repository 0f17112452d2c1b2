# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names in a list or in a text are the same names."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.plugin_utils.values.served_names import served_names


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("deepseek", ["deepseek"]),
        ("deepseek gpt-4", ["deepseek", "gpt-4"]),
        (["deepseek", "gpt-4"], ["deepseek", "gpt-4"]),
        (["deepseek gpt-4", "deepseek"], ["deepseek", "gpt-4"]),
        (4, ["4"]),
        ("", []),
        ([], []),
        (None, []),
    ],
)
def test_served_names(value: Any, names: list[str]) -> None:
    assert list(served_names(value)) == names
