# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Encoders beside the language model: images, sound. An estimate of their parameters from their own configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.models.fields import Fields
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.models.numbers import mapping

TOWERS = (
    "vision_config",
    "audio_config",
    "vision_tower_config",
    "visual",
    "audio_encoder_config",
    "vit_config",
    "sound_config",
)
LAYERS = ("num_hidden_layers", "depth", "layers", "encoder_layers", "num_layers", "n_layers", "vt_num_hidden_layers")
WIDTH = ("embed_dim", "hidden_size", "width", "d_model", "dim", "vt_hidden_size")
INNER = ("intermediate_size", "encoder_ffn_dim", "mlp_dim", "ffn_dim", "vt_intermediate_size")
GATED = (
    "qwen2_5_vl",
    "pixtral",
    "glm4v_vision",
    "glm4v_moe_vision",
    "qwen2_5_omni_vision_encoder",
    "gemma4_vision",
    "gemma4_audio",
)


def tower_parameters(top: Mapping[str, Any], model_type: str = "") -> int:
    """Parameters of all encoders of a config.json, without projectors of a few MB. 0 without any."""
    total = sum(_one(Fields(mapping(top.get(name)))) for name in TOWERS if mapping(top.get(name)))
    if model_type == "whisper" or top.get("encoder_layers"):
        total += _one(Fields(top), whisper=True)
    return total


def _one(fields: Fields, *, whisper: bool = False) -> int:
    inside = fields.below("encoder_config", "vision_config")
    if inside.written:
        return _one(inside)
    layers = fields.first("encoder_layers") if whisper else fields.first(*LAYERS)
    # Qwen2-VL: embed_dim is the tower's width, hidden_size that of the language model
    width = fields.first("d_model") if whisper else fields.first(*WIDTH)
    ratio = fields.fraction("mlp_ratio") or 4
    inner = fields.first("encoder_ffn_dim") if whisper else fields.first(*INNER)
    inner = inner or int(ratio * width)
    matrices = 3 if fields.text("model_type").startswith(GATED) else 2
    patch = fields.first("patch_size", "spatial_patch_size")
    embedding = 3 * patch * patch * (fields.first("temporal_patch_size") or 1) * width
    return layers * (4 * width * width + matrices * width * inner) + embedding
