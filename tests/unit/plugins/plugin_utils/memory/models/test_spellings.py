# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Spellings: no name means two things."""

from __future__ import annotations

from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.models import spellings


def test_no_name_means_two_things() -> None:
    groups = {name: value for name, value in vars(spellings).items() if isinstance(value, tuple)}
    seen: dict[str, str] = {}
    for group, names in groups.items():
        assert len(names) == len(set(names)), group
        for name in names:
            assert name not in seen, f"{name} is in {seen.get(name)} and {group}"
            seen[name] = group
