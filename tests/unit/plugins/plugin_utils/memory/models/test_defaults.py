# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of defaults that was made from the installed classes."""

from __future__ import annotations

from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.models.defaults import defaults, text_type


def test_defaults_of_classes() -> None:
    assert defaults("gemma3_text")["head_dim"] == 256 and defaults("gemma3_text")["vocab_size"] == 262208
    assert defaults("jamba")["attn_layer_period"] == 8
    assert defaults("no_such_type") == {}


def test_a_type_without_a_class_takes_that_of_its_authors() -> None:
    assert defaults("kimi_k2") == defaults("deepseek_v3") != {}


def test_the_language_part_of_a_type() -> None:
    assert (
        text_type("gemma3") == "gemma3_text"
        and text_type("qwen2_vl") == "qwen2_vl_text"
        and text_type("llama") == "llama"
    )
