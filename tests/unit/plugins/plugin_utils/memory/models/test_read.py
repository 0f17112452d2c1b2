# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a config.json to layers: where the language part lies."""

from __future__ import annotations

from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.models.read import read

INNER = {"model_type": "qwen2", "num_hidden_layers": 4, "hidden_size": 64, "num_attention_heads": 4, "vocab_size": 100}


def test_the_language_part_lies_in_many_places() -> None:
    for name in ("text_config", "llm_config", "language_config", "something_else"):
        reading = read({"model_type": "internvl_chat", name: INNER, "vision_config": {"hidden_size": 8}})
        assert (reading.nested, reading.model_type, len(reading.stack), reading.vision) == (name, "qwen2", 4, True)
    omni = read({"model_type": "qwen2_5_omni", "thinker_config": {"text_config": INNER}})
    assert (omni.nested, omni.model_type, omni.hidden) == ("thinker_config", "qwen2", 64)


def test_a_part_without_a_type_has_that_of_the_class() -> None:
    assert read({"model_type": "gemma3", "text_config": {"num_hidden_layers": 6}}).model_type == "gemma3_text"
    assert read({**INNER, "model_type": "qwen2_vl"}).model_type == "qwen2_vl_text"


def test_the_params_of_mistral() -> None:
    reading = read(
        {
            "dim": 64,
            "n_layers": 2,
            "n_heads": 4,
            "n_kv_heads": 2,
            "head_dim": 16,
            "hidden_dim": 128,
            "vocab_size": 100,
            "moe": {"num_experts": 8, "num_experts_per_tok": 2, "expert_hidden_dim": 32},
        }
    )
    assert (reading.known, len(reading.stack), reading.stack[0].kv_heads, reading.feed_forward.experts) == (
        True,
        2,
        2,
        8,
    )


def test_anything_is_read_without_an_error() -> None:
    for config in (
        None,
        [],
        "x",
        {"text_config": {"layer_types": 7}},
        {"num_hidden_layers": "many", "moe": 3, "block_configs": [1]},
    ):
        assert read(config).stack == ()


def test_layers_for_prediction_lie_beside_the_others() -> None:
    assert len(read({**INNER, "num_nextn_predict_layers": 1}).mtp) == 1
