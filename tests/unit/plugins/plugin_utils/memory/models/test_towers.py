# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Towers: parameters of encoders from their own configuration."""

from __future__ import annotations

import pytest
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.models.towers import tower_parameters


def test_published_encoders() -> None:
    siglip = {"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27, "patch_size": 14}
    assert tower_parameters({"vision_config": siglip}) == pytest.approx(412e6, rel=0.02)
    qwen2 = {
        "depth": 32,
        "embed_dim": 1280,
        "hidden_size": 8192,
        "mlp_ratio": 4,
        "patch_size": 14,
        "temporal_patch_size": 2,
    }
    assert tower_parameters({"vision_config": qwen2}) == pytest.approx(632e6, rel=0.02)
    whisper = {"encoder_layers": 32, "d_model": 1280, "encoder_ffn_dim": 5120}
    assert tower_parameters(whisper, "whisper") == pytest.approx(635e6, rel=0.02)


def test_none() -> None:
    assert tower_parameters({"vision_config": None, "hidden_size": 8}) == 0
