# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fields of a config.json in any spelling."""

from __future__ import annotations

from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.models.fields import Fields


def test_what_is_written_comes_before_a_default_even_as_null() -> None:
    fields = Fields({"a": None, "b": 3}, {"a": 7, "c": 5})
    assert (fields.first("a"), fields.first("a", "b"), fields.first("c"), fields.first("d")) == (0, 3, 5, 0)
    assert (fields.raw("a"), fields.raw("c"), fields.raw("x", "b")) == (None, 5, 3)


def test_lists_words_and_flags() -> None:
    fields = Fields({"list": "3,4,5", "many": [1, 2.0, "x"], "word": "Relu2", "yes": True, "inner": {"a": 1}})
    assert fields.items("list") == [3, 4, 5] and fields.numbers("many") == [1, 2, 0] and fields.first("many") == 2
    assert fields.text("word") == "relu2" and fields.flag("yes") and not fields.flag("word")
    assert fields.below("inner").first("a") == 1 and fields.below("word").written == {}


def test_names_that_were_asked_for_are_remembered() -> None:
    fields = Fields({})
    fields.first("a", "b")
    fields.raw("c")
    assert fields.read == {"a", "b", "c"}
