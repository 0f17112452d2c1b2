# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a config.json leaves open is a finding of the reading."""

from __future__ import annotations

from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.models.findings import findings
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.models.read import read

LLAMA = {"model_type": "llama", "num_hidden_layers": 2, "hidden_size": 8, "num_attention_heads": 2, "vocab_size": 10}


def test_nothing_to_report() -> None:
    assert findings(read(LLAMA)) == []


def test_codes() -> None:
    cases = {
        "config-incomplete": {"hidden_size": None},
        "family-unknown": {"model_type": "tomorrow"},
        "fields-not-understood": {"kv_mixer_groups": 4},
        "layer-kind-unknown": {"layer_types": ["spiral_attention"] * 2},
        "state-not-counted": {"layer_types": ["linear_attention", "full_attention"]},
        "sliding-window": {"sliding_window": 4, "max_position_embeddings": 100},
        "state-per-request": {"layer_types": ["conv", "full_attention"], "conv_L_cache": 3},
        "config-nested": {"text_config": LLAMA},
    }
    for code, change in cases.items():
        assert code in {one["code"] for one in findings(read({**LLAMA, **change}))}, code
