# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Unknown fields: those that sound like memory and that no reader asked for."""

from __future__ import annotations

from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.models.fields import Fields
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.models.unknown import not_understood


def test_names_that_may_change_the_memory() -> None:
    fields = Fields(
        {
            "kv_mixer_groups": 4,
            "spiral_window": 512,
            "hidden_size": 8,
            "bos_token_id": 1,
            "rope_theta": 1e6,
            "use_mixer_layers": False,
        }
    )
    fields.first("hidden_size")
    assert not_understood(fields) == ["kv_mixer_groups", "spiral_window"]
