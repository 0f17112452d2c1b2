# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one layer keeps."""

from __future__ import annotations

from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.models.layer import Layer, State


def test_values_of_a_token() -> None:
    assert Layer(kv_heads=8, key=192, value=128).values == 2560
    assert Layer(kv_heads=8, key=192, value=128, row=576).values == 576
    assert [Layer(kind).grows for kind in ("full", "window", "chunk", "cross", "shared", "none")] == [True] + [
        False
    ] * 5


def test_bytes_of_a_state() -> None:
    assert State(narrow=30, wide=100).size(2) == 460
    assert State(narrow=30, wide=100, wide_bytes=2).size(2) == 260
